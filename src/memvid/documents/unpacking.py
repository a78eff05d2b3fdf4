"""What compressed documents may unpack to: a few kilobytes of gzip or ZIP can be gigabytes."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

from memvid.allowance import Allowance
from memvid.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["document_allowance", "gzip_lines"]

# Text of any kind has ten times its compressed bytes, a log that repeats itself a hundred times.
_FREE_BYTES = 64 << 20
_TIMES = 100
_LINE_BYTES = 256  # that a line counts beside its own: it is work
_LONGEST_LINE = 96 << 20  # bytes; a chunk has at most 64 MiB


def document_allowance(file: BinaryIO, name: str) -> Allowance:
    """Bytes that a compressed document may unpack to."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    remedy = "if you trust it, unpack it and give what comes out"
    return Allowance(_FREE_BYTES + _TIMES * size, f"{name} has {size} bytes and unpacks to", remedy)


def gzip_lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a compressed file, with their ends, as they are unpacked.

    :raises ResourceLimitError: they are far more than a file of this size should have.
    :raises DocumentError: a line is longer than a chunk can be.
    """
    allowance = document_allowance(file, name)
    with gzip.GzipFile(fileobj=file) as unpacked:
        number = 0
        while line := unpacked.readline(_LONGEST_LINE + 1):
            number += 1
            allowance.spend(len(line) + _LINE_BYTES)
            if len(line) > _LONGEST_LINE:
                raise DocumentError(f"{name}, line {number}: has more than {_LONGEST_LINE} bytes: split the document")
            yield line
