"""Errors of the library, in the words of the command line: options instead of arguments."""

from __future__ import annotations

__all__ = ["in_own_words"]

_WORDS = (
    ("pass llm_api_key=... (any text, if it wants none)", "name its variable with --key-variable"),
    ("no language model: pass llm_api_key=... or set", "no language model: set"),
    ("pass llm_api_key=...", "name its variable with --key-variable"),
    ("give the key as llm_api_key", "name its variable with --key-variable"),
    ("llm_api_key", "--key-variable"),
    ("(embedder=..., --model", "(--model"),
    ("embedder=... or --model", "--model"),
    ("give it, embedder=...", "give it, --model FOLDER"),
    ("llm_provider=", "--llm-provider "),
    ("llm_provider", "--llm-provider"),
    ("llm_model=...", "--llm-model"),
    ("llm_model=", "--llm-model "),
    ("llm_model", "--llm-model"),
    ("base_url=...", "--base-url"),
    ("base_url=", "--base-url "),
    ("base_url", "--base-url"),
    ("answer_seconds=...", "--answer-seconds"),
    ("timeout=...", "--answer-seconds"),
    ("context_window=...", "--context-window"),
    ("expected a date, or a string like 2026-11-27", "expected a date like 2026-11-27, or now"),
    ("export_history(format='json')", "/save"),
)


def in_own_words(message: str) -> str:
    """The message of an error, with the names that somebody at a command line can use."""
    for name, option in _WORDS:
        message = message.replace(name, option)
    return message
