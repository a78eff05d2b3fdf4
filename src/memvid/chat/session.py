"""One conversation: its messages, and what came of the last question."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from memvid.chat.prompt import Turn
from memvid.chat.records import ChatContext, ChatMessage, ChatUsage, Summary
from memvid.errors import SessionError
from memvid.types import JsonObject

__all__ = ["Session"]


class Session:
    """A conversation. One question is answered at a time; a second one meanwhile is refused, in whatever thread.

    :param session_id: its id; ``None`` makes a random one.
    :param system_prompt: what the model is told before the rules of citing and quoting.
    :param where: a filter on metadata: nothing else of the memory is searched.
    """

    def __init__(
        self, session_id: str | None = None, system_prompt: str | None = None, where: JsonObject | None = None
    ) -> None:
        self.session_id = session_id or secrets.token_hex(8)
        self.where = where
        self.system_prompt = system_prompt
        self.messages: list[ChatMessage] = []
        self.summary = Summary()
        self.usage = ChatUsage()
        self.last_context: ChatContext | None = None
        self._busy = threading.Lock()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Keep others out until the answer is complete.

        :raises SessionError: a question is being answered.
        """
        if not self._busy.acquire(blocking=False):
            raise SessionError(
                f"session {self.session_id} is still answering: finish or close that stream, or start another session"
            )
        try:
            yield
        finally:
            self._busy.release()

    @property
    def turns(self) -> list[Turn]:
        """Questions and answers, oldest first."""
        return [
            (asked.content, said.content) for asked, said in zip(self.messages[::2], self.messages[1::2], strict=True)
        ]

    @property
    def queries(self) -> list[str]:
        """What was searched for, oldest first."""
        return [message.query or message.content for message in self.messages[::2]]

    def add(self, asked: ChatMessage, said: ChatMessage) -> None:
        """Add a turn."""
        self.messages += (asked, said)

    def reset(self) -> None:
        """Forget the conversation; id, system prompt, filter and usage stay.

        :raises SessionError: a question is being answered.
        """
        with self.answering():
            self.messages = []
            self.summary = Summary()
            self.last_context = None
