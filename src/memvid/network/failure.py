"""What went wrong when a server was asked: read from the errors of the ``openai`` package and of what is below it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Literal

from memvid.errors import MemvidError
from memvid.network.meter import StoppedError
from memvid.network.retries import retry_after
from memvid.network.secret import Secret, causes

__all__ = ["Failure", "Kind", "one_line", "read_failure"]

Kind = Literal["status", "redirect", "unreachable", "silent", "broken", "stopped", "options", "protocol", "said"]

_LONGEST = 300  # characters of a server's message
_BODY = 64 * 1024  # bytes of a reply that an error carries on
_CODED = ("content-encoding", "content-length", "transfer-encoding")  # of a content that is no longer so


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer.

    :ivar kind: ``"status"``, the server refuses; ``"redirect"``; ``"unreachable"``; ``"silent"``, longer than the
        timeout; ``"broken"``, the connection broke; ``"stopped"``, by memvid; ``"options"``,
        the request could not be made of what the user gave; ``"protocol"``, nobody can read the answer; ``"said"``,
        the server says so in its answer.
    :ivar detail: what there is to say about it, on one line, without the key.
    :ivar status: the HTTP status, or ``None``.
    :ivar retry_after: seconds the server asks to wait, or ``None``.
    :ivar code: the server's own word for it, or ``""``.
    :ivar stopped: how memvid ended it.
    """

    kind: Kind
    detail: str
    status: int | None = None
    retry_after: float | None = None
    code: str = ""
    stopped: StoppedError | None = None


def read_failure(error: Exception, key: Secret | None, *, begun: bool) -> Failure:
    """What an error of the client means.

    The error and its causes lose the key, should the server have repeated it, and the variables of their tracebacks, in
    which the request still is.

    :param begun: whether a reply had begun.
    """
    import openai

    _clean(error, key)
    told = list(causes(error))
    stopped = next((one for one in told if isinstance(one, StoppedError)), None)
    if stopped is not None:
        return Failure(kind="stopped", detail=str(stopped), stopped=stopped)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if any(_is_timeout(one) for one in told):
        return Failure(kind="silent", detail="")
    if isinstance(error, openai.APIConnectionError) or _is_of_transport(error):
        cause = error.__cause__ or error
        return Failure(kind="broken" if begun else "unreachable", detail=one_line(str(cause)))
    if isinstance(error, openai.OpenAIError) and not isinstance(error, openai.APIResponseValidationError):
        return Failure(kind="said", detail=_said(error), code=str(getattr(error, "code", "") or ""))
    detail = one_line(f"{type(error).__name__}: {error}" if not isinstance(error, openai.OpenAIError) else str(error))
    return Failure(kind="protocol" if begun else "options", detail=detail)


def one_line(text: str) -> str:
    """``text`` on one line, without control characters, cut where it is too long to be read."""
    text = text[: 4 * _LONGEST]
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."


def _of_status(error: Any) -> Failure:
    status = int(error.status_code)
    headers = {name.lower(): value for name, value in error.response.headers.items()}
    if status < 400:
        return Failure(kind="redirect", detail=one_line(headers.get("location", "nowhere")), status=status)
    return Failure(
        kind="status",
        detail=_said(error),
        status=status,
        retry_after=retry_after(headers),
        code=one_line(str(getattr(error, "code", "") or "")),
    )


def _said(error: Exception) -> str:
    """What the server says, on one line."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message") if isinstance(inner, dict) else inner
        if isinstance(said, str) and said:
            return one_line(said)
    return one_line(str(error))


def _is_timeout(error: BaseException) -> bool:
    return "Timeout" in type(error).__name__ and (_is_of_transport(error) or type(error).__module__ == "openai")


def _is_of_transport(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "h11")


def _clean(error: BaseException, key: Secret | None) -> None:
    """Take the key out of an error, its causes, and the responses that they carry."""
    replies: dict[int, Any] = {}  # an error and its cause have the same one
    for one in causes(error):
        if not isinstance(one, MemvidError):
            traceback.clear_frames(one.__traceback__)
        carried = vars(one)
        reply = carried.get("response")
        if key is not None and hasattr(reply, "headers"):
            request = carried.get("request") or carried.get("_request")
            carried["response"] = replies.setdefault(id(reply), _without(key, reply, request))
    if key is not None:
        key.hide_in_error(error)


def _without(key: Secret, reply: Any, request: Any) -> Any:
    """The reply as it is, or one with the key masked if the server repeated it."""
    headers = key.hide_in(reply.headers.multi_items())
    try:
        content = key.hide_in(reply.content[:_BODY])
    except RuntimeError:  # nobody has read it
        content = b""
    if headers == reply.headers.multi_items() and content in (b"", reply.content):
        return reply
    headers = [(name, value) for name, value in headers if name.lower() not in _CODED]
    return type(reply)(reply.status_code, headers=headers, content=content, request=request)
