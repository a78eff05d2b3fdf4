"""The conversations of one chat: beginning, forgetting, looking back, files."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Mapping, Sequence, Set
from numbers import Integral
from typing import Literal

from memvid.chat.history_file import as_json, read_session, write_text
from memvid.chat.markdown import as_markdown
from memvid.chat.records import ChatContext, ChatMessage, ChatUsage
from memvid.chat.session import Session
from memvid.errors import ClosedError, ConfigError, QueryError, SessionError
from memvid.llm import Backend
from memvid.pickling import NotPicklable
from memvid.query import parse_filter
from memvid.types import JsonObject, StrPath, Where

__all__ = ["Sessions", "check_text"]


class Sessions(NotPicklable):
    """What a chat remembers. One session is the current one, which is meant where none is named.

    :param memory: the memory's name, for exports.
    """

    _elsewhere = "make one there; export_history() and load_history() carry a conversation over"
    _backend: Backend

    def __init__(self, memory: str | None) -> None:
        self._memory_name = memory
        self._sessions: dict[str, Session] = {}
        self._current: Session | None = None
        self._beginning = threading.Lock()  # of several threads that find no session, one begins it
        self._closed = False

    @property
    def session_id(self) -> str:
        """The id of the current session; begins one if there is none."""
        return self._session(None).session_id

    def start_session(self, system_prompt: str | None = None, *, where: Where | None = None) -> str:
        """Begin a conversation, which becomes the current one; earlier ones stay. Returns its id.

        :param system_prompt: what the model is told before the rules of citing and quoting: who it is, its language.
        :param where: a filter on metadata, as a search takes it: only such chunks are searched for this conversation.
        :raises QueryError: ``where`` is no filter.
        """
        self._check_open()
        if system_prompt is not None:
            check_text("system_prompt", system_prompt)
        session = Session(system_prompt=system_prompt, where=None if where is None else _kept_filter(where))
        self._sessions[session.session_id] = session
        self._current = session
        return session.session_id

    def end_session(self, session: str | None = None) -> None:
        """Forget a conversation altogether.

        :raises SessionError: there is no such session.
        """
        found = self._session(session)
        del self._sessions[found.session_id]
        if self._current is found:
            self._current = None

    def reset(self, *, session: str | None = None) -> None:
        """Forget what was said; the session, its system prompt, its filter and its usage stay.

        :raises SessionError: the session is unknown, or still answering.
        """
        self._session(session).reset()

    @property
    def history(self) -> list[ChatMessage]:
        """Questions and answers of the current session, oldest first."""
        return list(self._session(None).messages)

    def history_of(self, session: str) -> list[ChatMessage]:
        """Questions and answers of a session, oldest first."""
        return list(self._session(session).messages)

    @property
    def last_context(self) -> ChatContext | None:
        """What the last question of the current session was answered from."""
        return self._session(None).last_context

    def last_context_of(self, session: str) -> ChatContext | None:
        """What the last question of a session was answered from."""
        return self._session(session).last_context

    @property
    def usage(self) -> ChatUsage:
        """What the current session has cost."""
        return self._session(None).usage

    def usage_of(self, session: str) -> ChatUsage:
        """What a session has cost."""
        return self._session(session).usage

    def export_history(
        self,
        path: StrPath,
        format: Literal["json", "markdown"] = "json",  # noqa: A002 - what users call it
        *,
        session: str | None = None,
    ) -> None:
        """Write the conversation to a file that only its owner can read, whole or not at all.

        A file that is there is replaced if it is a conversation or empty, and kept if it is anything else.

        :param format: ``"json"``, which :meth:`load_history` reads, or ``"markdown"``, for people. Both list for each
            answer the chunks it cites, with frame and time in the video.
        :raises ConfigError: another format.
        :raises OutputError: the file cannot be written, or is there and is no conversation.
        """
        writers = {"json": as_json, "markdown": as_markdown}
        if format not in writers:
            raise ConfigError(f"format={format!r} is not possible: expected 'json' or 'markdown'")
        write_text(path, writers[format](self._session(session), self._memory_name, self._model_name()))

    def load_history(self, path: StrPath) -> str:
        """Go on with a conversation that was exported as JSON; it becomes the current one. Returns its id.

        :raises HistoryError: the file is missing or something else.
        :raises SessionError: the session of that id is still answering.
        """
        self._check_open()
        loaded = read_session(path)
        if loaded.session_id in self._sessions:
            self._sessions[loaded.session_id].reset()  # raises if it is in use
        self._sessions[loaded.session_id] = loaded
        self._current = loaded
        return loaded.session_id

    def _session(self, session: str | None) -> Session:
        if session is None:
            with self._beginning:
                if self._current is None:
                    self.start_session()
                current = self._current
            if current is None:  # another thread ended it in this moment
                raise SessionError("the current session was ended: start another one")
            return current
        found = self._sessions.get(session) if isinstance(session, str) else None
        if found is None:
            raise SessionError(f"there is no session {session!r}: start_session() returns the id of a new one")
        return found

    def _model_name(self) -> str:
        model = getattr(self._backend, "model", None)
        return f"{self._backend.name}, {model}" if model else self._backend.name

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the chat was closed: make another one")


def _kept_filter(where: Where) -> JsonObject:
    """A copy of a filter, which goes into exports.

    :raises QueryError: it is none.
    """
    parse_filter(where)
    try:
        kept: JsonObject = json.loads(json.dumps(where, default=_plain))
    except TypeError as error:
        raise QueryError(f"where={where!r:.200} cannot be exported: write it as a dict") from error
    return kept


def _plain(value: object) -> object:
    """What a filter may hold and JSON may not."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Integral):  # NumPy's
        return int(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, Set)):
        return list(value)
    raise TypeError


def check_text(name: str, value: object) -> None:
    """Raise :class:`QueryError` unless ``value`` is a text that says something and can be sent."""
    if not isinstance(value, str):
        raise QueryError(f"{name} is a {type(value).__name__}: expected a string")
    if not value.strip():
        raise QueryError(f"{name} is blank: say something")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError(f"{name} has half a surrogate pair at character {error.start}: it is no text") from error
