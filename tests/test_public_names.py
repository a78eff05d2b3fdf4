"""What a caller can meet by way of a public method can be imported from where that method's class is."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import memvid
import memvid.exchange
import memvid.maintenance
from memvid.embedding import protocol
from memvid.index import arrays

# Names that annotations use, also those that are imported for the type checker alone.
NAMES: dict[str, Any] = {
    **vars(typing), **vars(collections.abc), **vars(protocol), **vars(arrays), **vars(memvid.types),
    **{name: getattr(memvid, name) for name in memvid.__all__},
    "os": os, "np": np, "npt": npt, "Path": Path,
}  # fmt: skip
MADE_BY_OTHERS = {memvid.IndexManager, memvid.Words}  # their constructors are for the methods that open and create them
CLASSES = {name: item for name in memvid.__all__ if isinstance(item := getattr(memvid, name), type)}
FUNCTIONS = {
    (module, name): getattr(module, name) for module in (memvid.maintenance, memvid.exchange) for name in module.__all__
}


def mentioned(hint: object) -> Iterator[type]:
    """The classes of memvid in an annotation."""
    if isinstance(hint, (list, tuple)):
        for part in hint:
            yield from mentioned(part)
        return
    yield from mentioned(typing.get_args(hint))
    if isinstance(hint, type) and hint.__module__.startswith("memvid."):
        yield hint


def of_class(owner: type) -> Iterator[tuple[str, type]]:
    """Where each class of memvid is met that a public class's methods, properties and fields lead to."""
    for name, member in inspect.getmembers(owner):
        function = member.fget if isinstance(member, property) else member
        constructor = name == "__init__" and owner not in MADE_BY_OTHERS
        if (name.startswith("_") and not constructor) or not inspect.isroutine(function):
            continue
        if str(getattr(function, "__module__", "")).startswith("memvid."):
            yield from of_function(f"{owner.__name__}.{name}", function)
    if dataclasses.is_dataclass(owner):
        for name, hint in typing.get_type_hints(owner, localns=NAMES).items():
            yield from ((f"{owner.__name__}.{name}", found) for found in mentioned(hint))


def of_function(name: str, function: Any) -> Iterator[tuple[str, type]]:
    for hint in typing.get_type_hints(function, localns=NAMES).values():
        yield from ((name, found) for found in mentioned(hint))


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_class_leads_to_is_exported(name: str) -> None:
    hidden = [f"{where}: {met.__name__}" for where, met in of_class(CLASSES[name]) if met.__name__ not in CLASSES]
    assert hidden == []


def test_what_maintenance_and_exchange_lead_to_is_exported() -> None:
    hidden = []
    for (module, name), item in FUNCTIONS.items():
        met = of_class(item) if isinstance(item, type) else of_function(name, item)
        hidden += [f"{where}: {m.__name__}" for where, m in met if m.__name__ not in {*CLASSES, *module.__all__}]
    assert hidden == []
