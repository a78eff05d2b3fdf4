"""From what went wrong at a server to the errors of chat."""

from __future__ import annotations

import re

from memvid.errors import (
    ConfigError,
    ContextWindowError,
    LLMAuthenticationError,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMRequestError,
    LLMResponseError,
    LLMTimeoutError,
    MemvidError,
)
from memvid.network.failure import Failure
from memvid.network.meter import StoppedError

__all__ = ["error_of", "stopped"]

_TOO_LONG = re.compile(
    r"context.{0,12}(length|window|size)|(maximum|exceeds? the) context|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)
_REMEDIES = {
    "time": "raise answer_seconds=..., or take a faster model",
    "pace": "lower answer_pace=... if this model is really so slow",
    "tokens": "raise it if an answer may be so long",
    "bytes": "raise answer_bytes=... if an answer may be so long",
}


def error_of(failure: Failure, *, who: str, partial: str = "") -> MemvidError:
    """What memvid raises.

    :param who: provider, model and address, for the message.
    :param partial: what of an answer had arrived.
    """
    detail = failure.detail
    if failure.stopped is not None:
        return stopped(failure.stopped, who=who, partial=partial)
    if failure.kind == "status":
        return _of_status(failure, who, partial)
    if failure.kind == "options":
        return ConfigError(f"llm_options: {detail}; a server's own options go into extra_body")
    if failure.kind == "said" and _TOO_LONG.search(detail):
        return ContextWindowError(_too_long(detail, who), partial=partial)
    kind, said = {
        "redirect": (LLMConnectionError, f"redirects to {detail}, which is not followed: give that as base_url"),
        "silent": (LLMTimeoutError, "was silent for longer than timeout allows: raise timeout=..."),
        "broken": (LLMConnectionError, "broke off in the middle of the answer: ask again"),
        "unreachable": (LLMConnectionError, f"cannot be reached ({detail}): is it running, is base_url right?"),
        "protocol": (LLMResponseError, f"gave an answer that is not in the protocol: {detail}"),
    }.get(failure.kind, (LLMError, f"failed: {detail}"))
    return kind(f"{who} {said}", status=failure.status, partial=partial)


def stopped(error: StoppedError, *, who: str, partial: str = "") -> LLMError:
    """What memvid raises for an answer that it ended itself."""
    if error.reason == "origin":
        return LLMConnectionError(f"a request {error}")
    kind = LLMTimeoutError if error.reason in ("time", "pace") else LLMResponseError
    remedy = _REMEDIES.get(error.reason)
    return kind(f"the answer of {who} {error}{f': {remedy}' if remedy else ''}", partial=partial)


def _of_status(failure: Failure, who: str, partial: str) -> LLMError:
    status, wait = failure.status or 0, failure.retry_after
    said = f"{who} answers {status}: {failure.detail}"
    kind: type[LLMError] = LLMError
    if status in (401, 403):
        kind, said = LLMAuthenticationError, f"{said}: check the key, and whether it may use the model"
    elif status == 429:
        later = f"in {wait:g} seconds" if wait is not None else "later"
        kind, said = LLMRateLimitError, f"{said}: ask again {later}"
    elif status in (400, 413, 422) and _TOO_LONG.search(f"{failure.code} {failure.detail}"):
        kind, said = ContextWindowError, _too_long(failure.detail, who)
    elif status == 404:
        kind, said = LLMRequestError, f"{said}: check llm_model and base_url"
    elif status < 500 and status != 408:
        kind = LLMRequestError
    return kind(said, status=status, retry_after=wait, partial=partial)


def _too_long(detail: str, who: str) -> str:
    return f"{who} says that the request is too long: {detail}: lower context_window=..."
