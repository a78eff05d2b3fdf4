"""From the errors of the ``openai`` package to those of memvid."""

from __future__ import annotations

import re
from typing import Any

from memvid.errors import (
    ContextWindowError,
    LLMAuthenticationError,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMRequestError,
    LLMResponseError,
    LLMTimeoutError,
)
from memvid.network.secret import Secret, causes

__all__ = ["translate"]

_LONGEST = 300  # characters of a provider's message
_TOO_LONG = re.compile(
    r"context.{0,12}(length|window|size)|(maximum|exceeds? the) context|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)
_CODED = ("content-encoding", "content-length", "transfer-encoding")  # of a content that is no longer so
_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2", "h11")


def translate(error: Exception, *, who: str, key: Secret | None, partial: str = "") -> LLMError | None:
    """What memvid raises for ``error``, or ``None`` if it is none of the client's.

    The error itself becomes the cause, and loses the key if the server repeated it.

    :param who: provider, model and address, for the message.
    :param partial: what of an answer had arrived.
    """
    import openai

    _hide(error, key)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, who, partial)
    if isinstance(error, openai.APIConnectionError) or _of_transport(error):
        return _of_connection(error, who, partial)
    if isinstance(error, (openai.APIResponseValidationError, ValueError)):
        return LLMResponseError(f"{who} gave an answer that is not in the protocol: {_detail(error)}", partial=partial)
    if isinstance(error, openai.OpenAIError):
        long = _TOO_LONG.search(_detail(error))
        return ContextWindowError(_too_long(error, who), partial=partial) if long else _failed(error, who, partial)
    return None


def _failed(error: Exception, who: str, partial: str) -> LLMError:
    return LLMError(f"{who} failed: {_detail(error)}", partial=partial)


def _of_transport(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _TRANSPORTS


def _of_connection(error: Exception, who: str, partial: str) -> LLMError:
    if "Timeout" in type(error).__name__:
        return LLMTimeoutError(f"{who} was silent for longer than timeout allows: raise timeout=...", partial=partial)
    if partial:
        return LLMConnectionError(f"{who} broke off in the middle of the answer: ask again", partial=partial)
    cause = error.__cause__ or error
    return LLMConnectionError(f"{who} cannot be reached ({_one_line(str(cause))}): is it running, is base_url right?")


def _of_status(error: Any, who: str, partial: str) -> LLMError:
    status = int(error.status_code)
    wait = _retry_after(error.response.headers.get("retry-after"))
    said = f"{who} answers {status}: {_detail(error)}"
    kind: type[LLMError] = LLMError
    if status < 400:
        target = _one_line(str(error.response.headers.get("location")))
        kind, said = LLMConnectionError, f"{who} redirects to {target}, which is not followed: give that as base_url"
    elif status in (401, 403):
        kind, said = LLMAuthenticationError, f"{said}: check the key, and whether it may use the model"
    elif status == 429:
        later = f"in {wait:g} seconds" if wait is not None else "later"
        kind, said = LLMRateLimitError, f"{said}: ask again {later}"
    elif status in (400, 413, 422) and _TOO_LONG.search(f"{error.code} {_detail(error)}"):
        kind, said = ContextWindowError, _too_long(error, who)
    elif status == 404:
        kind, said = LLMRequestError, f"{said}: check llm_model and base_url"
    elif status < 500 and status != 408:
        kind = LLMRequestError
    return kind(said, status=status, retry_after=wait, partial=partial)


def _too_long(error: Exception, who: str) -> str:
    return f"{who} says that the request is too long: {_detail(error)}: lower context_window=..."


def _detail(error: Exception) -> str:
    """What the provider says, on one line."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message") if isinstance(inner, dict) else inner
        if isinstance(said, str) and said:
            return _one_line(said)
    return _one_line(str(error))


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."


def _retry_after(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:  # a date, or nothing
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _hide(error: BaseException, key: Secret | None) -> None:
    """Take the key out of an error, its causes, and the requests and responses that they carry."""
    if key is None:
        return
    replies: dict[int, Any] = {}  # an error and its cause have the same one
    for one in causes(error):
        carried = vars(one)
        request = carried.get("request") or carried.get("_request")
        if request is not None and hasattr(request, "headers"):
            request.headers.pop("Authorization", None)
        reply = carried.get("response")
        if hasattr(reply, "headers"):
            carried["response"] = replies.setdefault(id(reply), _without(key, reply, request))
    key.hide_in_error(error)


def _without(key: Secret, reply: Any, request: Any) -> Any:
    """The reply as it is, or one with the key masked if the server repeated it."""
    headers = key.hide_in(reply.headers.multi_items())
    try:
        content = key.hide_in(reply.content)
    except RuntimeError:  # nobody has read it
        content = b""
    if headers == reply.headers.multi_items() and content in (b"", reply.content):
        return reply
    headers = [(name, value) for name, value in headers if name.lower() not in _CODED]
    return type(reply)(reply.status_code, headers=headers, content=content, request=request)
