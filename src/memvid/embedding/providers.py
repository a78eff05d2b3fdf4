"""Where a model runs: which of onnxruntime's execution providers to ask for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from memvid.errors import ConfigError, EmbeddingError

__all__ = ["CPU", "CUDA", "ProvidedSession", "check_providers", "open_session"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

# What is taken without being asked for. TensorRT and MIGraphX compile for minutes before the first text, CoreML and
# OpenVINO may compute in half precision: those are the user's decisions.
_AUTOMATIC = (CUDA,)


class ProvidedSession(Protocol):
    """What is used of an onnxruntime session here."""

    def get_providers(self) -> Sequence[str]:
        """Providers it runs on, the preferred one first; those that could not be loaded are not among them."""
        ...


_Session = TypeVar("_Session", bound=ProvidedSession)


def check_providers(providers: object) -> tuple[str, ...] | None:
    """``providers=`` as a tuple of names, or ``None``.

    :raises ConfigError: it is neither.
    """
    if providers is None:
        return None
    names = tuple(providers) if isinstance(providers, Sequence) and not isinstance(providers, (str, bytes)) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"providers={providers!r} is not possible: expected a list of names such as {CUDA!r}, or None"
        )
    return names


def open_session(
    make: Callable[[tuple[str, ...]], _Session], asked: tuple[str, ...] | None, available: Sequence[str]
) -> _Session:
    """Open a session on what was asked for, all of it; or, if nothing was, on the best that works.

    :param make: opens a session with some providers.
    :param asked: providers in the order of preference; ``None`` chooses.
    :param available: those that onnxruntime was built with.
    :raises ConfigError: a provider that was asked for is not there, or does not work.
    :raises EmbeddingError: the model cannot be loaded.
    """
    if asked is None:
        for name in _AUTOMATIC:
            if name in available:
                try:
                    session = make((name, CPU))
                except EmbeddingError:  # no device, no driver: the next one, in the end the CPU, and `provider` says so
                    continue
                if session.get_providers()[0] == name:
                    return session
        return make((CPU,))
    if missing := [name for name in asked if name not in available]:
        raise ConfigError(
            f"providers={list(asked)!r}: this onnxruntime has no {', '.join(missing)}, only {', '.join(available)}: "
            "install a build that has it (onnxruntime-gpu for CUDA), or leave providers out"
        )
    session = make(asked)
    if missing := [name for name in asked if name not in session.get_providers()]:
        raise ConfigError(
            f"providers={list(asked)!r}: {', '.join(missing)} could not be loaded, which left "
            f"{', '.join(session.get_providers())}: see that its driver and libraries are installed and found, or "
            "leave providers out"
        )
    return session
