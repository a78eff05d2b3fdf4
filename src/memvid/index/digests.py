"""Digests of side files, and the memory of which were checked.

That of a file of its own is its SHA-256. That of a part of a video is the root of a Merkle tree over its blocks of
64 KiB (RFC 6962, 2.1), so that a block can be proven without the others.

A side file is hashed in full the first time it is opened on a machine. That it was is remembered as a file in the
user's cache folder, named after the digest found and :attr:`OpenFile.place`. Of a part that file says what the video
was like: then an append to it has nobody hash it again, and whatever else is done to it does. It may be deleted.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memvid.storage.disk import cache_folder, make_cache_folder
from memvid.storage.files import open_regular, write_private

if TYPE_CHECKING:
    from memvid.index.open_file import OpenFile

__all__ = ["digest_of", "file_digest", "is_verified", "remember_verified", "tree_root"]

_BLOCK = 1 << 20
_LEAF = 1 << 16
_KEPT = 4096  # remembered files; beyond it the older half is forgotten


def file_digest(file: OpenFile) -> str:
    """SHA-256 of a side file, in hexadecimal. About 1 GB a second; the GIL is released."""
    digest = hashlib.sha256()
    for start in range(0, file.nbytes, _BLOCK):
        digest.update(file.read(start, _BLOCK))
    return digest.hexdigest()


def tree_root(file: OpenFile) -> str:
    """Root of the Merkle tree of a side file, in hexadecimal. As fast."""
    nodes: list[bytes] = []
    for start in range(0, file.nbytes, _BLOCK):
        block = memoryview(file.read(start, _BLOCK))
        for at in range(0, len(block), _LEAF):
            leaf = hashlib.sha256(b"\0")
            leaf.update(block[at : at + _LEAF])
            nodes.append(leaf.digest())
    while len(nodes) > 1:
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        odd = nodes[len(nodes) & ~1 :]  # goes up as it is
        nodes = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return (nodes[0] if nodes else hashlib.sha256().digest()).hex()


def digest_of(file: OpenFile) -> str:
    """What the manifest says of a side file."""
    return tree_root(file) if file.is_part else file_digest(file)


def is_verified(file: OpenFile, digest: str) -> bool:
    """Whether this side file was found to have this digest before."""
    try:
        mark = cache_folder() / "verified" / _key(file.place, digest)
        if not file.is_part:
            return mark.exists()
        with open_regular(mark) as opened:
            return file.is_since(opened.read(256))
    except (OSError, RuntimeError):  # no cache and no home folder: check each time
        return False


def remember_verified(file: OpenFile, digest: str) -> None:
    """Remember a check. A cache that cannot be written to only means that the file is hashed again next time."""
    with suppress(OSError, RuntimeError):
        folder = make_cache_folder("verified")
        mark = folder / _key(file.place, digest)
        write_private(mark, file.state if file.is_part else b"")
        os.utime(mark)  # the ones that were not needed for longest are forgotten
        _forget_old(folder)


def _key(place: tuple[int | str, ...], digest: str) -> str:
    return hashlib.sha256(" ".join(map(str, (*place, digest))).encode()).hexdigest()


def _forget_old(folder: Path) -> None:
    names = list(os.scandir(folder))
    if len(names) > _KEPT:
        names.sort(key=lambda entry: entry.stat().st_mtime_ns)
        for entry in names[: _KEPT // 2]:
            Path(entry.path).unlink(missing_ok=True)
