"""Language models: any endpoint that speaks OpenAI's protocol, any function, or none.

>>> from memvid.llm import CallableBackend
>>> CallableBackend(lambda messages: messages[-1]["content"].upper()).complete([{"role": "user", "content": "hi"}]).text
'HI'

A backend is anything with ``name``, ``complete(messages)`` and ``stream(messages)`` (:class:`Backend`). Packages offer
theirs in the entry point group ``memvid.backends``. The ``openai`` package is imported with the first request.
"""

from __future__ import annotations

from memvid.llm.callable_backend import CallableBackend
from memvid.llm.openai_backend import OpenAIBackend
from memvid.llm.protocol import Backend, BackendLike, Completion, Message, Piece, Quote, TokenUsage
from memvid.llm.quoting_backend import QuotingBackend
from memvid.llm.registry import backend_names, resolve_backend
from memvid.llm.tokens import TokenCounter, TokenCounterLike, resolve_counter

__all__ = [
    "Backend",
    "BackendLike",
    "CallableBackend",
    "Completion",
    "Message",
    "OpenAIBackend",
    "Piece",
    "Quote",
    "QuotingBackend",
    "TokenCounter",
    "TokenCounterLike",
    "TokenUsage",
    "backend_names",
    "resolve_backend",
    "resolve_counter",
]
