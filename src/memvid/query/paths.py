"""Paths into metadata: the keys that lead to a value, joined by dots.

``{"author": {"name": "Ada"}}`` has ``"Ada"`` at ``author.name``, and so has ``{"author.name": "Ada"}``: a dot in a key
and one between keys are not told apart. Lists are looked through, however deep they are: their members are at the path
of the list, so that several values may be at one path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memvid.query.values import Kind, Value, value_of

__all__ = ["MOST_CHARACTERS", "MOST_PARTS", "heads", "nodes_at", "paths_of", "strings_at", "values_at"]

MOST_PARTS = 32
"""Of a path that can be asked for: each dot may be one in a key."""

MOST_CHARACTERS = 1024
"""Likewise."""

_LONGEST = 200  # characters of a path that is named to people


def heads(path: str) -> list[str]:
    """The keys that may begin a path: all of it, and what is in front of a dot."""
    return [path[:at] for at, character in enumerate(path) if character == "."] + [path]


def nodes_at(metadata: dict[str, Any], path: str) -> Iterator[Any]:
    """All that lies at a path, lists as they are."""
    if "." not in path:
        if path in metadata:
            yield metadata[path]
        return
    waiting: list[tuple[Any, str]] = [(metadata, path)]  # not recursive: metadata may be nested deeper than the stack
    while waiting:
        node, rest = waiting.pop()
        if isinstance(node, list):
            waiting += [(member, rest) for member in node]
        elif isinstance(node, dict):
            for head in heads(rest):
                if head in node:
                    if head == rest:
                        yield node[head]
                    else:
                        waiting.append((node[head], rest[len(head) + 1 :]))


def strings_at(metadata: dict[str, Any], path: str) -> set[str]:
    """The strings at a path."""
    return {str(plain) for kind, plain in values_at(metadata, path) if kind == Kind.STRING}


def values_at(metadata: dict[str, Any], path: str) -> Iterator[Value]:
    """The values at a path that can be compared, in no order."""
    for node in nodes_at(metadata, path):
        if not isinstance(node, list):
            value = value_of(node)
            if value is not None:
                yield value
            continue
        waiting = [node]
        while waiting:
            for member in waiting.pop():
                if isinstance(member, list):
                    waiting.append(member)
                elif (value := value_of(member)) is not None:
                    yield value


def paths_of(metadata: dict[str, Any]) -> set[str]:
    """The paths that lead to something in the metadata, but for long ones."""
    found = set()
    waiting: list[tuple[Any, str]] = [(metadata, "")]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, list):
            waiting += [(member, prefix) for member in node]
        elif isinstance(node, dict):
            for key, member in node.items():
                path = prefix + key
                if len(path) <= _LONGEST:
                    found.add(path)
                    waiting.append((member, f"{path}."))
    return found
