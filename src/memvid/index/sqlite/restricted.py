"""A connection to a SQLite file that may be crafted: it can only read, and what a question may cost is bounded."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from memvid.interrupts import called_by_c

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RestrictedConnection", "connect_readonly"]

# Work is counted in steps of SQLite's virtual machine. A row takes about ten of them, and at least two bytes.
_STEPS_A_CALL = 100_000
_STEPS_A_BYTE = 20
_FREE_CALLS = 20  # a fraction of a second
_MARGIN = 1 << 20
_LARGEST = (1 << 31) - 1
_LIMITS = {
    "SQL_LENGTH": 65536,
    "COLUMN": 64,
    "EXPR_DEPTH": 128,
    "COMPOUND_SELECT": 4,
    "FUNCTION_ARG": 16,
    "ATTACHED": 0,
    "TRIGGER_DEPTH": 1,
    "WORKER_THREADS": 0,
}
_PRAGMAS = (
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "mmap_size=0",  # a file that is cut off meanwhile is an error, not a signal
    "temp_store=MEMORY",  # what a statement needs for itself is never written to a disk, and ends with its work
    "cache_size=-2048",  # KiB
)


class RestrictedConnection(sqlite3.Connection):
    """Ends a question that takes more work than a file of its size can be worth.

    Pages of a b-tree may be shared between branches, so that twenty pages hold more rows than anyone could read.

    :ivar nbytes: size of the file.
    """

    nbytes = 0
    _allowed = _left = 0

    def restrict(self, nbytes: int) -> None:
        """Bound work, values and statements for a file of ``nbytes``."""
        self.nbytes = nbytes
        self._allowed = self._left = _FREE_CALLS + nbytes * _STEPS_A_BYTE // _STEPS_A_CALL
        self.set_progress_handler(self._spend, _STEPS_A_CALL)
        self._set_limits(nbytes)

    def _set_limits(self, nbytes: int) -> None:
        """What later Pythons let SQLite refuse by itself; on 3.10 that is nothing."""
        if sys.version_info >= (3, 11):
            for name, limit in (("LENGTH", nbytes + _MARGIN), *_LIMITS.items()):
                self.setlimit(getattr(sqlite3, f"SQLITE_LIMIT_{name}"), min(limit, _LARGEST))
        if sys.version_info >= (3, 12):
            self.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
            self.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
            self.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)

    def begin_question(self) -> None:
        """Count work anew."""
        self._left = self._allowed

    def __del__(self) -> None:
        """Close what nobody closed, as other files are; from Python 3.13 on SQLite's own would warn of it."""
        with suppress(sqlite3.ProgrammingError):  # it could not be opened
            self.close()

    @called_by_c
    def _spend(self) -> bool:
        self._left -= 1
        return self._left < 0  # SQLite then ends the statement with an error


def connect_readonly(path: Path) -> RestrictedConnection:
    """Open a finished file that nothing will write to again; replacing it as a whole is fine."""
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False,
        factory=RestrictedConnection,
    )  # fmt: skip
    connection.restrict(path.stat().st_size)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection
