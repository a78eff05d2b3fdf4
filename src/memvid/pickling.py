"""What can be pickled, and so copied or sent to another process, and what says why it cannot."""

from __future__ import annotations

import pickle
import sys
from typing import Any, ClassVar, NoReturn, SupportsIndex

from memvid.errors import NotPicklableError

__all__ = ["NotPicklable", "check_picklable"]


class NotPicklable:
    """Base of classes that hold open files, threads, locks or keys, of which there is no copy.

    :cvar _elsewhere: what to do in place of it.
    """

    __slots__ = ()
    _elsewhere: ClassVar[str]

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise NotPicklableError(f"a {type(self).__name__} cannot be pickled or copied: {self._elsewhere}")


def check_picklable(value: object, message: str) -> None:
    """Check that an object of the caller's can be pickled, which may hold anything.

    Where cloudpickle is in use, which takes more than pickle does, it is left to judge.

    :param message: what cannot be pickled because of it, and what to do.
    :raises NotPicklableError: it cannot.
    """
    try:
        pickle.Pickler(_Nowhere()).dump(value)
    except NotPicklableError:
        raise
    except Exception as error:  # of any kind
        if not any(name.rpartition(".")[2] == "cloudpickle" for name in list(sys.modules)):
            raise NotPicklableError(f"{message} ({error})") from error


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take what is written."""
        return len(data)
