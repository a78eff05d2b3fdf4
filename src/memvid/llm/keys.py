"""API keys: never shown, never sent to anybody but their provider."""

from __future__ import annotations

from typing import Any, NoReturn

from memvid.errors import ConfigError

__all__ = ["Secret", "mask"]

_MASK = "***"


def mask(key: str) -> str:
    """What may be shown of a key: enough to tell two of one's own apart, nothing of a short one."""
    return f"{key[:3]}...{key[-2:]}" if len(key) >= 16 else _MASK


class Secret:
    """A key. Its repr, its str and the tracebacks that show it have a mask; it cannot be pickled or copied.

    :raises ConfigError: it is not a string that can stand in an HTTP header.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, name: str) -> None:
        if not isinstance(value, str):
            raise ConfigError(f"{name} is a {type(value).__name__}: expected a string")
        # Keys come from files and clipboards; the characters themselves are not repeated in the message.
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(
                f"{name} is empty or has a blank, a line end or a character that is not ASCII: paste it anew"
            )
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
            return type(value)(self.hide_in(item) for item in value)
        return value

    def __repr__(self) -> str:
        return f"Secret({mask(self._value)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled or copied")
