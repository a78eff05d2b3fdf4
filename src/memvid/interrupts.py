"""Ctrl-C ends an operation, but not in the middle of what has to be finished.

Python raises ``KeyboardInterrupt`` between any two instructions of the main thread, also at the first one of an
``__exit__`` that was to stop a thread or to remove a file. So while an operation runs (:func:`interruptible`), memvid's
handler of SIGINT stands in front of the one that is there, and passes the signal on, to be raised:

- at once;
- but where a function that must run to its end is under way (:func:`uninterrupted`), when that function returns;
- and where it would be lost or break something, a moment later: in a ``__del__``, and in what C calls and drops the
  exceptions of (:func:`called_by_c`), after which all goes on, and while a module is loaded, of which half would be
  there.

Other threads are never interrupted, and where SIGINT is ignored, or is not Python's, nothing changes.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from types import CodeType, FrameType

__all__ = ["called_by_c", "end_when_repeated", "interruptible", "uninterrupted"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_MOMENT = 0.01  # seconds
_PATIENCE = 3.0  # seconds that a first Ctrl-C has been waiting when a further one counts as impatience


class _State:
    """Of this process. Only its main thread looks at it.

    :ivar depth: decorated functions that are under way.
    :ivar before: the handler in front of which ours stands.
    :ivar waiting: when the first signal came that was not passed on yet.
    :ivar asking: whether a thread is about to make the signal come again.
    :ivar last_resort: what to do where a further one comes long after that.
    """

    depth = 0
    before: Callable[[int, FrameType | None], Any] | None = None
    waiting: float | None = None
    asking = False
    last_resort: Callable[[], object] | None = None


def interruptible(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Mark an operation that Ctrl-C ends, but for the uninterrupted functions in it."""

    @wraps(function)
    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        entered = _enter()
        try:
            return function(*arguments, **options)
        finally:
            _leave(entered)

    _OPEN.add(run.__code__)  # type: ignore[attr-defined]  # of a function
    return run


def uninterrupted(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Mark a function that Ctrl-C does not end; when it returns, the interruption is raised."""

    @wraps(function)
    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        entered = _enter()
        try:
            return function(*arguments, **options)
        finally:
            _leave(entered)

    _SHELTERED.add(run.__code__)  # type: ignore[attr-defined]  # of a function
    return run


def called_by_c(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Mark a function whose exceptions are dropped by whoever calls it."""
    _DROPPED.add(function.__code__)
    return function


def end_when_repeated(last_resort: Callable[[], object]) -> None:
    """Have a process that belongs to memvid end, by whatever way, if its user gets impatient.

    :param last_resort: called from the handler of a signal that comes seconds after one that still has to wait.
    """
    _State.last_resort = last_resort


def _enter() -> bool:
    """Put our handler in front, unless it is there; whether this is the thread that gets signals."""
    if threading.get_ident() != threading.main_thread().ident:
        return False
    if _State.depth == 0:
        before = signal.getsignal(signal.SIGINT)
        if not callable(before) or before is _handle:
            return False
        try:
            _State.before = before
            signal.signal(signal.SIGINT, _handle)
        except ValueError:  # another interpreter of this process
            return False
    _State.depth += 1
    return True


def _leave(entered: bool) -> None:
    """Undo :func:`_enter`, and pass on a signal that waits, if the caller's caller may be interrupted."""
    if not entered:
        return
    _State.depth -= 1
    ours = signal.getsignal(signal.SIGINT) is _handle  # not if the operation has put another one there
    if ours and _State.depth == 0 and _State.before is not None:
        signal.signal(signal.SIGINT, _State.before)
    if _State.waiting is None:
        return
    frame = sys._getframe(2)
    if not ours:
        _State.waiting = None
    elif _State.depth == 0 or (shelter := _find_shelter(frame)) is None:
        _pass_on(signal.SIGINT, frame)
    elif shelter is _Shelter.FRAGILE:
        _ask_again()


def _handle(number: int, frame: FrameType | None) -> None:
    shelter = _find_shelter(frame)
    if shelter is None:
        _pass_on(number, frame)
        return
    if _State.waiting is None:
        _State.waiting = time.monotonic()
    elif _State.last_resort is not None and time.monotonic() - _State.waiting > _PATIENCE:
        _State.last_resort()
    if shelter is _Shelter.FRAGILE:
        _ask_again()


def _pass_on(number: int, frame: FrameType | None) -> None:
    _State.waiting = None
    if _State.before is not None:
        _State.before(number, frame)


def _ask_again() -> None:
    """Have the signal come once more in a moment, from a thread of its own: no other function is sure to be called."""

    main = threading.get_ident()

    def ask() -> None:
        time.sleep(_MOMENT)
        _State.asking = False
        if _State.waiting is None:
            return
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)  # which also ends what the main thread waits for
        else:
            _thread.interrupt_main(signal.SIGINT)

    if not _State.asking:
        _State.asking = True
        try:
            _thread.start_new_thread(ask, ())
        except RuntimeError:  # no more threads: then the end of the next function that is marked will do
            _State.asking = False


class _Shelter(Enum):
    """Why what runs must not be interrupted."""

    MARKED = "marked"
    FRAGILE = "fragile"


def _find_shelter(frame: FrameType | None) -> _Shelter | None:
    """Why what runs must not be interrupted, if so; the innermost mark counts."""
    while frame is not None and frame.f_code not in _OPEN:
        if frame.f_code in _SHELTERED:
            return _Shelter.MARKED
        code = frame.f_code
        if code in _DROPPED or code.co_name == "__del__" or code.co_filename.startswith("<frozen importlib"):
            return _Shelter.FRAGILE
        frame = frame.f_back
    return None


_OPEN: set[CodeType] = set()
_DROPPED: set[CodeType] = set()
_SHELTERED: set[CodeType] = {_enter.__code__, _leave.__code__}
