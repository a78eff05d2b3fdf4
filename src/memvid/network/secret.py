"""API keys: never shown, never sent to anybody but their provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

from memvid.errors import ConfigError

__all__ = ["Secret", "causes", "mask"]

_MASK = "***"


def mask(key: str) -> str:
    """What may be shown of a key: enough to tell two of one's own apart, nothing of a short one."""
    return f"{key[:3]}...{key[-2:]}" if len(key) >= 16 else _MASK


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, then what it came of."""
    told: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in told:
        told.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


class Secret:
    """A key. Its repr, its str and the tracebacks that show it have a mask; it cannot be pickled or copied.

    :raises ConfigError: it is not a string that can stand in an HTTP header.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, name: str) -> None:
        if not isinstance(value, str):
            raise ConfigError(f"{name} is a {type(value).__name__}: expected a string")
        if not value.strip():
            raise ConfigError(f"{name} is an empty string: expected a key, or leave it out")
        # Keys come from files and clipboards; the characters themselves are not repeated in the message.
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"{name} has a blank, a line end or a character that is not ASCII: paste it anew")
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the header of a request."""
        return self._value

    def startswith(self, prefixes: tuple[str, ...]) -> bool:
        """Whether the key begins like those of some provider."""
        return self._value.startswith(prefixes)

    def hide_in(self, value: Any) -> Any:
        """``value`` with the key masked, if it is a string; containers are searched."""
        if isinstance(value, str):
            return value.replace(self._value, mask(self._value))
        if isinstance(value, bytes):
            return value.replace(self._value.encode(), mask(self._value).encode())
        if isinstance(value, dict):
            return {self.hide_in(key): self.hide_in(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            hidden = [self.hide_in(item) for item in value]
            return hidden if isinstance(value, list) else tuple(hidden)
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

    def __repr__(self) -> str:
        return f"Secret({mask(self._value)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled or copied")
