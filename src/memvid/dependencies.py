"""Packages that are imported where they are first used, and what is said of one that cannot be."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from memvid.errors import DependencyError

__all__ = ["first_cause", "import_dependency"]


def import_dependency(module: str, missing: str) -> Any:
    """Import a module.

    :param missing: what needs it, and what installs it: said only where that is what is wrong.
    :raises DependencyError: it is not installed; or it is, and does not load: because of a library of the system, of a
        package that it needs, of memory that is short.
    """
    handled = sys.exc_info()[1]
    try:
        return import_module(module)
    except Exception as error:  # C extensions fail to load with errors of every kind
        first = first_cause(error, handled)
        if isinstance(first, MemoryError):
            raise MemoryError(f"there is not enough memory to load {module}") from error
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise DependencyError(missing) from error
        raise DependencyError(f"{module} is installed, but cannot be loaded: {first}") from error


def first_cause(error: BaseException, handled: BaseException | None = None) -> BaseException:
    """What an error came of at the very first: packages wrap that into advice on how to install them.

    :param handled: an error that was being handled before, which is no cause.
    """
    while (cause := error.__cause__ or error.__context__) not in (None, handled):
        error = cause
    return error
