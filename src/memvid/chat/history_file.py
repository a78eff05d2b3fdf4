"""A conversation as a file: JSON that loads back exactly; what may be replaced by one."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from memvid.chat.markdown import HEADING
from memvid.chat.records import ChatMessage, ChatUsage, Source, Summary
from memvid.chat.session import Session
from memvid.errors import HistoryError, OutputError
from memvid.query import parse_filter
from memvid.storage.files import open_regular
from memvid.types import JsonObject, StrPath

__all__ = ["as_json", "read_session", "write_text"]

_FORMAT = "memvid-chat"
_VERSION = 1
_FILTERED_VERSION = 2  # of a conversation with a filter, which must not be gone on with without it
_LARGEST = 1e15  # seconds or score
_LOOKED_AT = 256  # bytes of a file that is to be replaced
_Record = TypeVar("_Record", ChatUsage, Source, Summary)


def as_json(session: Session, memory: str | None, backend: str) -> str:
    """The session as JSON; ASCII, so that nothing on the way can change it."""
    document = {
        "format": _FORMAT,
        "version": _VERSION if session.where is None else _FILTERED_VERSION,
        "session_id": session.session_id,
        "memory": memory,
        "backend": backend,
        "system_prompt": session.system_prompt,
        **({} if session.where is None else {"where": session.where}),
        "summary": asdict(session.summary),
        "usage": asdict(session.usage),
        "messages": [asdict(message) for message in session.messages],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_text(path: StrPath, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only: it is a private conversation.

    :raises OutputError: it cannot be written, or would replace something else than a conversation.
    """
    target = Path(path)
    name = os.fspath(path)
    if not name or "\0" in name:
        raise OutputError(f"{name!r} is not a file's name")
    if os.path.basename(name) in ("", ".", ".."):  # noqa: PTH119  # Path forgets a slash at the end
        raise OutputError(f"{name} cannot be written: it is a folder, name a file in it")
    _check_replaceable(target)
    if not target.parent.is_dir():
        raise OutputError(f"{target} cannot be written: there is no folder {str(target.parent)!r}, create it first")
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _check_replaceable(target: Path) -> None:
    """Raise unless there is no such file, or an empty one, or one that was exported before."""
    if not target.exists():
        return
    if not target.is_file():
        raise OutputError(f"{target} cannot be written: it is not a file, choose another name")
    try:
        with open_regular(target) as file:
            start = file.read(_LOOKED_AT)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    if start and not start.startswith(HEADING.encode()) and f'"{_FORMAT}"'.encode() not in start:
        raise OutputError(f"{target} cannot be written: what is there is no conversation, choose another name")


def read_session(path: StrPath) -> Session:
    """The session of a file that :func:`as_json` made.

    :raises HistoryError: there is no such file, or it is something else; a newer version.
    """
    try:
        with open_regular(Path(path)) as file:
            document = json.loads(file.read().decode("utf-8"))
    except OSError as error:
        raise HistoryError(f"{os.fspath(path)} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise HistoryError(f"{os.fspath(path)} is not JSON: load what export_history(format='json') wrote") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise HistoryError(f"{os.fspath(path)} is not a conversation of memvid: load what export_history wrote")
    if document.get("version") not in (_VERSION, _FILTERED_VERSION):
        raise HistoryError(
            f"{os.fspath(path)} has version {document.get('version')!r}, this memvid reads {_VERSION} and "
            f"{_FILTERED_VERSION}: use a newer one"
        )
    try:
        return _session(document)
    except (KeyError, TypeError, ValueError) as error:
        raise HistoryError(f"{os.fspath(path)} is damaged: {type(error).__name__}: {error}") from error


def _session(document: JsonObject) -> Session:
    where = document.get("where")
    if where is not None:
        parse_filter(where)
    session = Session(_text(document["session_id"]), _text_or_none(document["system_prompt"]), where)
    session.summary = _record(Summary, document["summary"])
    session.usage = _record(ChatUsage, document["usage"])
    session.messages = [_message(message) for message in document["messages"]]
    roles = [message.role for message in session.messages]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise ValueError("questions and answers do not alternate")
    if not 0 <= session.summary.turns <= len(roles) // 2:
        raise ValueError(f"the summary stands for {session.summary.turns} of {len(roles) // 2} turns")
    return session


def _message(message: Any) -> ChatMessage:
    return ChatMessage(
        message["role"],
        _text(message["content"]),
        query=_text(message["query"]),
        sources=tuple(_record(Source, source) for source in message["sources"]),
        removed_citations=_int(message["removed_citations"]),
        finish_reason=_text(message["finish_reason"]),
    )


def _record(cls: type[_Record], values: Any) -> _Record:
    """A record of texts and numbers."""
    checked: dict[str, Any] = {}
    for field in fields(cls):
        value = values[field.name]
        if str(field.type) == "str":
            checked[field.name] = _text(value)
        elif str(field.type) == "int":
            checked[field.name] = _int(value)
        else:
            if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool)):
                raise TypeError(f"{field.name} is {value!r}, not a number")
            if value is not None and not -_LARGEST < value < _LARGEST:  # nor is NaN, which is in no order
                raise ValueError(f"{field.name} is out of range")
            checked[field.name] = value
    return cls(**checked)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    value.encode()  # half a surrogate pair is none either, and no request could hold it
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value
