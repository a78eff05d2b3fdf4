"""Conversations over a memory, with any language model.

>>> from memvid import MemvidChat
>>> chat = MemvidChat("memory.mp4", llm_api_key="sk-...")  # doctest: +SKIP
>>> chat.chat("When did signing in break?")  # doctest: +SKIP
'On March 2 [1].'

Above the retriever: it uses nothing but its public methods, and takes anything with ``search``.
"""

from __future__ import annotations

from memvid.chat.conversation import MemvidChat
from memvid.chat.records import (
    ChatContext,
    ChatMessage,
    ChatUsage,
    ContextBudget,
    ContextPassage,
    LeftOut,
    Source,
    Summary,
)

__all__ = [
    "ChatContext",
    "ChatMessage",
    "ChatUsage",
    "ContextBudget",
    "ContextPassage",
    "LeftOut",
    "MemvidChat",
    "Source",
    "Summary",
]
