"""Payloads out of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.video.codecs.picture_limits import BATCH_PIXELS
from memvid.video.codecs.sources import Picture, Pictures

__all__ = ["batches", "decode_pictures", "read_payloads"]

Decode: TypeAlias = "Callable[[Sequence[Picture | None]], list[bytes | None]]"

_BATCH = 64  # pictures in memory at a time


def decode_pictures(
    pictures: Sequence[Picture | None], *, budget: _core.DetectionBudget | None = None, threads: int = 0
) -> tuple[list[bytes | None], NDArray[np.uint8]]:
    """Payloads of pictures, ``uint8[height, width]`` each, and a status for each, 0 where there is a payload.

    ``None`` is a picture that could not be had. One native call, in parallel. A page's own checksum is verified; a
    bare text has none.

    :param budget: what the detector may do in vain, here and elsewhere; ``None``: a second's work.
    """
    reader = _core.PictureReader(
        lambda wanted: [pictures[i] for i in wanted], len(pictures), budget=budget, threads=threads
    )
    return reader.read(np.arange(len(pictures), dtype=np.int64))


def batches(pictures: Iterable[Picture | None]) -> Iterator[list[Picture | None]]:
    """The pictures, in lists of as many as may be in memory at a time."""
    batch: list[Picture | None] = []
    pixels = 0
    for picture in pictures:
        batch.append(picture)
        pixels += 0 if picture is None else picture.size
        if len(batch) == _BATCH or pixels >= BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def read_payloads(source: Pictures, decode: Decode | None = None, *, threads: int = 0) -> Iterator[bytes | None]:
    """The payload of each picture in turn, ``None`` where none can be read; some pictures in memory at a time.

    A picture that is shown again and again is read once.

    :param decode: gives the payloads of some pictures; ``None`` is :func:`decode_pictures`.
    """
    if decode is None:

        def decode(pictures: Sequence[Picture | None]) -> list[bytes | None]:
            return decode_pictures(pictures, budget=source.detection_budget, threads=threads)[0]

    shown: Picture | None = None
    payload: bytes | None = None
    for batch in batches(source.pictures()):
        before = [shown, *batch[:-1]]
        shown = batch[-1]
        changed = [at for at, pair in enumerate(zip(before, batch, strict=True)) if not _is_same(*pair)]
        found = iter(decode([batch[at] for at in changed]))
        anew = set(changed)
        for at in range(len(batch)):
            if at in anew:
                payload = next(found)
            yield payload


def _is_same(old: Picture | None, new: Picture | None) -> bool:
    return old is not None and new is not None and np.array_equal(old, new)
