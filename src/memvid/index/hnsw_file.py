"""The layout of a file of vectors, and the checks that make mapping one safe. The native core writes it.

The native core, which walks the mapped file, checks sizes and links again as it goes; here a damaged or crafted file is
told from a sound one as a whole, and with words. It is a usearch file (format 2), of which each vector is a node of the
graph. Rows whose vector an earlier row has too are no nodes; they are listed behind it, where usearch does not look.
Layout, little endian::

    u32 nodes | u32 bytes a vector | nodes x vector
    64 bytes: "usearch", u16 version[3], u8 metric, scalar, key and slot kind, u64 present, deleted, dim, u8 multi
    u64 nodes | u64 connectivity | u64 connectivity of level 0 | u64 top level | u64 entry node
    nodes x i16 level
    nodes x { u64 key | i16 level | for each level from 0: u32 neighbours, room for `connectivity` u32 node numbers }
    if there are copies: "copies", u8 0, u8 1, u64 copies | copies x u32 row, ascending | copies x u32 node

Nodes are in the order of their first rows, whose chunk ids are the keys. The matrix at the start is also what exact
search reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from memvid.index.manifest import VectorInfo

__all__ = ["MATRIX_OFFSET", "NUMPY_DTYPES", "HnswFileError", "check_header", "check_links", "check_numbers"]

MATRIX_OFFSET = 8
NUMPY_DTYPES: dict[str, npt.DTypeLike] = {"i8": np.int8, "f16": np.dtype("<f2"), "f32": np.dtype("<f4")}

_SCALAR_KINDS = {"f32": 11, "f16": 12, "i8": 23}
_COSINE, _U64, _U32 = ord("c"), 14, 15
_HEAD = struct.Struct("<7s3H4B3QB22x")
_GRAPH = struct.Struct("<5Q")
_COPIES = struct.Struct("<8sQ")
_COPIES_MAGIC = b"copies\0\1"
_NODE_HEAD = 10  # key and level
_BLOCK = 1 << 16  # nodes checked at a time


class HnswFileError(Exception):
    """What is wrong with a file, in words; never leaves this package."""


@dataclass(frozen=True, slots=True)
class _Graph:
    levels: npt.NDArray[np.int16]
    base_room: int
    upper_room: int
    nodes_offset: int
    copies_offset: int


def check_header(data: memoryview, info: VectorInfo) -> None:
    """Check that the headers and the size of a file are what ``info`` says. Reads 2 bytes a vector."""
    _read_graph(data, info)


def check_numbers(data: memoryview, info: VectorInfo) -> None:
    """Check that no vector has a NaN or an infinity, of which nothing can be said and no new index be made."""
    dtype = np.dtype(NUMPY_DTYPES[info.dtype])
    if dtype.kind != "f":
        return
    for first in range(0, info.nodes, _BLOCK):
        rows = min(_BLOCK, info.nodes - first)
        offset = MATRIX_OFFSET + first * info.dim * dtype.itemsize
        block = np.frombuffer(data, dtype, rows * info.dim, offset)
        if not np.isfinite(block).all():
            row = first + int(np.flatnonzero(~np.isfinite(block))[0]) // info.dim
            raise HnswFileError(f"vector {row} has a NaN or an infinity")


def check_links(data: memoryview, info: VectorInfo, ids: npt.NDArray[np.int64]) -> None:
    """Check every node of the graph: its key, its level, and that each neighbour exists on that level. And each copy.

    :param ids: int64[count], the chunk ids of the rows; those of the nodes' first rows must be the keys.
    """
    graph = _read_graph(data, info)
    ids = ids[_first_rows(data, info, graph)]
    levels = graph.levels.astype(np.int64)
    sizes = _NODE_HEAD + 4 * (1 + graph.base_room) + levels * 4 * (1 + graph.upper_room)
    offsets = graph.nodes_offset + np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)[:-1]])
    raw = np.frombuffer(data, np.uint8)
    for start in range(0, info.nodes, _BLOCK):
        part = slice(start, start + _BLOCK)
        heads = _gather(raw, offsets[part], _NODE_HEAD)
        keys = np.ascontiguousarray(heads[:, :8]).view("<i8")[:, 0]
        own_levels = np.ascontiguousarray(heads[:, 8:]).view("<i2")[:, 0]
        if not np.array_equal(keys, ids[part]) or not np.array_equal(own_levels, graph.levels[part]):
            raise HnswFileError("a node has another key or level than its place says")
        _check_neighbours(raw, offsets[part] + _NODE_HEAD, graph.base_room, levels, 0)
    for level in range(1, int(levels.max()) + 1):
        nodes = np.flatnonzero(levels >= level)
        lists = offsets[nodes] + _NODE_HEAD + 4 * (1 + graph.base_room) + (level - 1) * 4 * (1 + graph.upper_room)
        _check_neighbours(raw, lists, graph.upper_room, levels, level)


def _read_graph(data: memoryview, info: VectorInfo) -> _Graph:
    row_bytes = info.dim * np.dtype(NUMPY_DTYPES[info.dtype]).itemsize
    head_at = MATRIX_OFFSET + info.nodes * row_bytes
    graph_at = head_at + _HEAD.size
    levels_at = graph_at + _GRAPH.size
    nodes_at = levels_at + 2 * info.nodes
    if len(data) < nodes_at:
        raise HnswFileError(f"{len(data)} bytes cannot hold {info.nodes} vectors of {row_bytes} bytes")
    _expect("matrix", struct.unpack_from("<2I", data), (info.nodes, row_bytes))
    magic, major, _, _, *rest = _HEAD.unpack_from(data, head_at)
    _expect("magic and format", (magic, major), (b"usearch", 2))
    kinds = (_COSINE, _SCALAR_KINDS[info.dtype], _U64, _U32)
    _expect("kinds and counts", tuple(rest), (*kinds, info.nodes, 0, info.dim, 0))
    nodes, upper_room, base_room, top_level, entry = _GRAPH.unpack_from(data, graph_at)
    _expect("nodes", (nodes, upper_room), (info.nodes, info.connectivity))
    levels = np.frombuffer(data, "<i2", info.nodes, levels_at)
    if not upper_room <= base_room <= 4 * upper_room or entry >= nodes:
        raise HnswFileError(f"connectivity {base_room} of level 0 or entry node {entry} is impossible")
    _expect("levels", (int(levels.max()), int(levels[entry])), (top_level, top_level))
    if int(levels.min()) < 0:
        raise HnswFileError("a level is negative")
    copies_at = (
        nodes_at
        + info.nodes * (_NODE_HEAD + 4 * (1 + base_room))
        + int(levels.sum(dtype=np.int64)) * 4 * (1 + upper_room)
    )
    _expect("bytes", len(data), copies_at + (_COPIES.size + 8 * info.copies if info.copies else 0))
    if info.copies:
        _expect("copies", _COPIES.unpack_from(data, copies_at), (_COPIES_MAGIC, info.copies))
    return _Graph(levels, base_room, upper_room, nodes_at, copies_at)


def _first_rows(data: memoryview, info: VectorInfo, graph: _Graph) -> npt.NDArray[np.int64]:
    """int64[nodes]: the rows that are no copies."""
    if not info.copies:
        return np.arange(info.count)
    rows, nodes = np.frombuffer(data, "<u4", 2 * info.copies, graph.copies_offset + _COPIES.size).reshape(2, -1)
    before = rows.astype(np.int64) - np.arange(info.copies)  # nodes whose first row is in front of the copy
    if int(rows[-1]) >= info.count or not (np.diff(rows.astype(np.int64)) > 0).all() or not (nodes < before).all():
        raise HnswFileError("a row is no copy of an earlier one")
    return np.delete(np.arange(info.count), rows)


def _check_neighbours(
    raw: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], room: int, levels: npt.NDArray[np.int64], level: int
) -> None:
    for start in range(0, len(offsets), _BLOCK):
        lists = _gather(raw, offsets[start : start + _BLOCK], 4 * (1 + room)).view("<u4")
        used = np.arange(room) < lists[:, :1]
        neighbours = lists[:, 1:][used]
        if int(lists[:, 0].max()) > room or (len(neighbours) and int(neighbours.max()) >= len(levels)):
            raise HnswFileError("a neighbour does not exist")
        if level and len(neighbours) and int(levels[neighbours].min()) < level:
            raise HnswFileError("a neighbour is not on the level it is linked from")


def _gather(raw: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """uint8[len(offsets), width]: the bytes at each offset."""
    windows = np.lib.stride_tricks.sliding_window_view(raw, width)
    return np.ascontiguousarray(windows[offsets])


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise HnswFileError(f"{what}: expected {expected}, found {found}")
