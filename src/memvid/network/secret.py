"""API keys: never shown, never sent to anybody but their provider."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from memvid.errors import ConfigError
from memvid.pickling import NotPicklable

__all__ = ["EchoMask", "Secret", "causes", "mask"]

_MASK = "***"
_LONG = 16  # characters of a key of which a part may be shown, and is known when somebody repeats it
_PART = 8  # characters in a row that are a part


def mask(key: str) -> str:
    """What may be shown of a key: enough to tell two of one's own apart, nothing of a short one."""
    return f"{key[:3]}...{key[-2:]}" if len(key) >= _LONG else _MASK


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, then all that it came of."""
    told: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in told:
            continue
        told.add(id(one))
        yield one
        left += (*getattr(one, "exceptions", ()), one.__context__, one.__cause__)


class Secret(NotPicklable):
    """A key. Its repr, its str and the tracebacks that show it have a mask; it cannot be pickled or copied.

    :raises ConfigError: it is not a string that can stand in an HTTP header.
    """

    __slots__ = ("_parts", "_value")
    _elsewhere = "a key stays where it is; take it from the environment there"

    def __init__(self, value: str, *, name: str) -> None:
        self._value = ""
        wrong = _what_is_wrong(value)
        if wrong is not None:
            del value  # what shows the variables of a traceback shows no key
            raise ConfigError(f"{name} {wrong}")
        self._value = value
        self._parts: frozenset[bytes] | None = None

    def reveal(self) -> str:
        """The key itself, for the header of a request."""
        return self._value

    def startswith(self, prefixes: tuple[str, ...]) -> bool:
        """Whether the key begins like those of some provider."""
        return self._value.startswith(prefixes)

    def hide_in(self, value: Any) -> Any:
        """``value`` with the key masked, if it is a string; containers are searched.

        Of a key of 16 characters or more, any 8 in a row are masked as well, also backwards, in base64 and in
        hexadecimal: what a server says about a key may be made of it.
        """
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")
            hidden = self._hide(raw)
            return value if hidden == raw else hidden.decode("utf-8", "surrogatepass")
        if isinstance(value, bytes):
            return self._hide(value)
        if isinstance(value, dict):
            return {self.hide_in(key): self.hide_in(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self.hide_in(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return value

    def hide_in_error(self, error: BaseException) -> None:
        """Mask the key in what an error and its causes say and carry."""
        for one in causes(error):
            one.args = self.hide_in(one.args)
            for name, value in list(getattr(one, "__dict__", {}).items()):
                hidden = self.hide_in(value)
                if hidden != value:
                    with suppress(AttributeError):  # cannot be set, and is made of the arguments
                        setattr(one, name, hidden)

    def _hide(self, raw: bytes) -> bytes:
        raw = raw.replace(self._value.encode(), mask(self._value).encode())
        lowered = raw.lower()
        marked = bytearray(len(raw))
        if self._parts is None:
            self._parts = _telling_parts(self._value.encode())
        for part in self._parts:
            at = lowered.find(part)
            while at >= 0:
                marked[at : at + len(part)] = b"\1" * len(part)
                at = lowered.find(part, at + 1)
        if 1 not in marked:
            return raw
        kept, end = b"", 0
        while (begin := marked.find(1, end)) >= 0:
            kept += raw[end:begin] + _MASK.encode()
            end = marked.find(0, begin)
            end = len(raw) if end < 0 else end
        return kept + raw[end:]

    def __repr__(self) -> str:
        return f"Secret({mask(self._value)})"


class EchoMask(NotPicklable):
    """Masks a key in bytes as they arrive, forwards and backwards, with as many asterisks as it has characters.

    Lengths stay what they are, so nothing else about the message changes. A short key passes: it may be any word.
    """

    _elsewhere = "it knows a key"

    def __init__(self, key: Secret | None) -> None:
        value = key.reveal().encode() if key is not None else b""
        self._found = (value, value[::-1]) if len(value) >= _LONG else ()
        self._before = b""  # the end of what came, as it came: the key may arrive in parts

    def __call__(self, data: bytes) -> bytes:
        """``data`` without the key; of one that began earlier, without the rest."""
        if not self._found or not data:
            return data
        joined = self._before + data
        masked = joined
        for value in self._found:
            masked = masked.replace(value, b"*" * len(value))
        before, self._before = len(self._before), joined[1 - len(self._found[0]) :]
        return masked[before:]

    def text(self, text: str) -> str:
        """The same for text."""
        return self(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def __repr__(self) -> str:
        return "EchoMask()"


def _what_is_wrong(value: object) -> str | None:
    """What keeps a value from being a key; keys come from files and clipboards, and are not repeated in messages."""
    if not isinstance(value, str):
        return f"is a {type(value).__name__}: expected a string"
    if not value.strip():
        return "is an empty string: expected a key, or leave it out"
    if not value.isascii() or not value.isprintable() or " " in value:
        return "has a blank, a line end or a character that is not ASCII: paste it again"
    return None


def _telling_parts(raw: bytes) -> frozenset[bytes]:
    """What gives a key away, in lower case."""
    if len(raw) < _LONG:
        return frozenset({raw.lower()[::-1]} if len(raw) >= _PART else ())
    forms = [(raw, _PART), (raw.hex().encode(), 2 * _PART)]
    for before in range(3):  # where it may stand in the groups of three bytes that base64 makes
        coded = base64.b64encode(b"\0" * before + raw)[before and before + 1 : -4]
        forms.append((coded, 4 * _PART // 3 + 1))
    return frozenset(
        one.lower()[start : start + size]
        for form, size in forms
        for one in (form, form[::-1])
        for start in range(len(form) - size + 1)
    )
