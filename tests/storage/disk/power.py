"""A model of a disk that loses its power: what is not synced may be there, in part, or not.

From the calls that an operation made, it works out what may be on the disk after each of them. Of a file, what was
written before its last sync is there; of each later write any sectors of 512 bytes are, and its size may have grown
without them. Of a folder, the names at its last sync are there, and any of the later creations, renames and removals,
each of them whole. That is less than any journaling file system keeps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tests.storage.disk.trap import Call, Kind

__all__ = ["Disk", "crash_states"]

Files = dict[str, bytes]

_SECTOR = 512


@dataclass(slots=True)
class _File:
    """Bytes that are safe, and what was done since: ``(offset, data)``, or a new length and ``None``."""

    safe: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.safe = _applied(self.safe, self.pending)
        self.pending = []


@dataclass(frozen=True, slots=True)
class _Naming:
    """A file gets a name, loses one, or both at once."""

    file: int
    gains: str | None = None
    loses: str | None = None


class Disk:
    """One folder, as far as its calls are known.

    :param files: what is in it, all of it safe.
    :param inodes: of each of them.
    """

    def __init__(self, folder: str, files: Files, inodes: dict[str, int]) -> None:
        self._folder = folder
        self._safe_names: dict[str, int] = {}
        self._namings: list[_Naming] = []
        self._files: list[_File] = []
        self._numbers: dict[int, int] = {}  # inode -> which of the files; a removed file's may be given again
        for name, content in files.items():
            self._safe_names[name] = self._begin(inodes[name], content)

    def follow(self, call: Call) -> None:
        """Do what a call did.

        :raises AssertionError: the model does not know it.
        """
        name = self._name(call.name)
        if call.kind is Kind.LINK and call.result >= 0:
            self._namings.append(_Naming(self._numbers[call.inode], gains=self._name(call.new_name)))
            return
        if call.result < 0 or call.kind in (Kind.OPEN, Kind.MODE) or (name is None and call.name != self._folder):
            return
        if call.kind is Kind.CREATE:
            self._namings.append(_Naming(self._begin(call.inode, b""), gains=name))
        elif call.kind is Kind.RENAME:
            new_name = self._name(call.new_name)
            assert new_name is not None, call
            self._namings.append(_Naming(self._numbers[call.inode], gains=new_name, loses=name))
        elif call.kind is Kind.UNLINK:
            self._namings.append(_Naming(self._numbers[call.inode], loses=name))
        elif call.kind is Kind.SYNC and name is None:
            self._safe_names = _named(self._safe_names, self._namings)
            self._namings = []
        else:
            self._change(self._files[self._numbers[call.inode]], call)

    def crash(self, chooser: random.Random, names: str, data: str) -> Files:
        """What may be there if the power went now.

        :param names: of the names that are not safe ``"none"`` are there, ``"all"``, ``"first"`` (all up to any), or
            ``"some"``.
        :param data: of what is not safe in files ``"none"`` is there, ``"all"``, ``"sizes"``, or ``"some"``.
        """
        namings = self._namings
        if names == "none":
            namings = []
        elif names == "first":
            namings = namings[: chooser.randint(0, len(namings))]
        elif names == "some":
            namings = [naming for naming in namings if chooser.random() < 0.5]
        found = _named(self._safe_names, namings)
        return {name: _crashed(self._files[number], chooser, data) for name, number in sorted(found.items())}

    def _begin(self, inode: int, content: bytes) -> int:
        self._numbers[inode] = len(self._files)
        self._files.append(_File(content))
        return self._numbers[inode]

    def _change(self, file: _File, call: Call) -> None:
        if call.kind is Kind.WRITE:
            assert len(call.data) == call.result, call
            file.pending.append((call.offset, call.data))
        elif call.kind is Kind.TRUNCATE:
            file.pending.append((call.offset, None))
        elif call.kind is Kind.SYNC:
            file.sync()
        else:
            raise AssertionError(f"the model of a power cut does not know {call}")

    def _name(self, path: str) -> str | None:
        """The name of a file in the folder."""
        pure = PurePosixPath(path.removesuffix(" (deleted)"))
        return pure.name if str(pure.parent) == self._folder else None


def crash_states(disk: Disk, calls: Sequence[Call], *, tries: int) -> Iterator[tuple[int, Files]]:
    """What may be on the disk when the power goes after each call, each state once, with the number of the call.

    :param tries: states drawn by lot after each call, beside the five that leave out or keep all of a sort.
    """
    seen: set[tuple[int, int]] = set()
    for at in range(len(calls) + 1):
        if at:
            disk.follow(calls[at - 1])
        chooser = random.Random(at)
        plans = [("none", "none"), ("all", "none"), ("none", "all"), ("all", "all"), ("all", "sizes")]
        lots = [(chooser.choice(("all", "first", "some")), "some") for _ in range(tries)]
        for names, data in plans + lots:
            files = disk.crash(chooser, names, data)
            key = hash(tuple(files.items())), at == len(calls)
            if key not in seen:
                seen.add(key)
                yield at, files


def _named(names: dict[str, int], namings: Sequence[_Naming]) -> dict[str, int]:
    names = dict(names)
    for naming in namings:
        if naming.loses is not None and names.get(naming.loses) == naming.file:
            del names[naming.loses]
        if naming.gains is not None:
            names[naming.gains] = naming.file
    return names


def _applied(content: bytes, changes: Sequence[tuple[int, bytes | None]]) -> bytes:
    result = bytearray(content)
    for offset, data in changes:
        end = offset if data is None else offset + len(data)
        result.extend(bytes(max(0, end - len(result))))
        if data is None:
            del result[offset:]
        else:
            result[offset:end] = data
    return bytes(result)


def _crashed(file: _File, chooser: random.Random, data: str) -> bytes:
    if data == "none":
        return file.safe
    if data == "all":
        return _applied(file.safe, file.pending)
    if data == "sizes":
        grown = max([len(file.safe), *(offset + len(part) for offset, part in file.pending if part is not None)])
        return file.safe + bytes(grown - len(file.safe))
    kept: list[tuple[int, bytes | None]] = []
    share = chooser.choice((0.1, 0.5, 0.9))
    for offset, part in file.pending:
        if part is None:
            kept += [(offset, None)] * (chooser.random() < share)
        else:
            kept += [piece for piece in _sectors(offset, part) if chooser.random() < share]
    return _applied(file.safe, kept)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """A write, sector by sector; what lies across two of them can be torn."""
    at = 0
    while at < len(data):
        end = min(len(data), at + _SECTOR - (offset + at) % _SECTOR)
        yield offset + at, data[at:end]
        at = end
