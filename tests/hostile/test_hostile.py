"""Memories that someone made to do harm: only typed errors may come out, in bounded time, and never a crash.

``MEMVID_HOSTILE_EXAMPLES`` sets how many mutations each property tries (default: 25, a few seconds). A memory that
brought the reading process down is kept below ``MEMVID_HOSTILE_KEEP`` (default: the system's temporary folder).
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid.errors import ChunkTooLargeError
from memvid.page import PageBody, PageKind, seal
from tests.hostile.damage_support import FILES, build_small
from tests.hostile.hostile_support import (
    Victim,
    all_boxes,
    build_target,
    forge_index,
    forge_video,
    payloads_of,
    rebuild_table,
)

EXAMPLES = int(os.environ.get("MEMVID_HOSTILE_EXAMPLES", "25"))
INDEX_FILES = FILES[1:]
JOURNAL = "memory_index.json.commit"
NASTY = [0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FF0000000000000, (1 << 64) - 1]

many = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build_target(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory in two segments, one of its chunks deleted."""
    return build_small(tmp_path_factory.mktemp("grown"))


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    reader = Victim(Path(os.environ.get("MEMVID_HOSTILE_KEEP", tempfile.gettempdir())))
    yield reader
    reader.close()


def fresh(sound: Path) -> Path:
    return Path(shutil.copytree(sound.parent, tempfile.mkdtemp() + "/copy")) / sound.name


numbers = st.integers(0, 1 << 20)
changes = st.one_of(
    st.tuples(st.just("flip"), numbers, st.integers(0, 7)),
    st.tuples(st.just("put"), numbers, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("number"), numbers, st.tuples(st.sampled_from(NASTY), st.sampled_from("<>"), st.booleans())),
    st.tuples(st.just("cut"), numbers, st.none()),
    st.tuples(st.just("drop"), numbers, numbers),
    st.tuples(st.just("double"), numbers, numbers),
    st.tuples(st.just("grow"), st.just(0), st.binary(min_size=1, max_size=64)),
    st.tuples(st.just("swap"), numbers, numbers),
)


def apply(data: bytes, change: tuple[str, int, object]) -> bytes:  # noqa: PLR0911
    """One change of a file; places are numbers of any size, taken modulo the file's."""
    what, place, with_ = change
    at = place % max(len(data), 1)
    if what == "flip" and data:
        return data[:at] + bytes([data[at] ^ 1 << int(with_)]) + data[at + 1 :]  # type: ignore[call-overload]
    if what == "put":
        assert isinstance(with_, bytes)
        return data[:at] + with_ + data[at + len(with_) :]
    if what == "number":
        assert isinstance(with_, tuple)
        number, order, wide = with_
        packed = struct.pack(order + "Q", number) if wide else struct.pack(order + "I", number & 0xFFFFFFFF)
        return data[:at] + packed + data[at + len(packed) :]
    if what == "cut":
        return data[:at]
    if what == "grow":
        assert isinstance(with_, bytes)
        return data + with_
    if isinstance(with_, int):
        other = with_ % max(len(data), 1)
        first, last = min(at, other), max(at, other)
        if what == "drop":
            return data[:first] + data[last:]
        if what == "double":
            return data[:last] + data[first:]
        size = min(last - first, len(data) - last, 16)
        return (
            data[:first]
            + data[last : last + size]
            + data[first + size : last]
            + data[first : first + size]
            + (data[last + size :])
        )
    return data


# --- mutations of whole files


@many
@given(name=st.sampled_from(FILES), edits=st.lists(changes, min_size=1, max_size=4), deep=st.integers(0, 7))
def test_any_change_of_any_file_is_an_error_or_harmless(
    grown: Path, victim: Victim, name: str, edits: list[tuple[str, int, object]], deep: int
) -> None:
    video = fresh(grown)
    path = video.with_name(name)
    for edit in edits:
        path.write_bytes(apply(path.read_bytes(), edit))
    victim.read(video, honest=True, thorough=deep == 0)
    shutil.rmtree(video.parent.parent)


@many
@given(name=st.sampled_from(INDEX_FILES[1:]), edits=st.lists(changes, min_size=1, max_size=4), deep=st.integers(0, 7))
def test_index_files_whose_digests_were_made_to_fit(
    grown: Path, victim: Victim, name: str, edits: list[tuple[str, int, object]], deep: int
) -> None:
    video = fresh(grown)
    path = video.with_name(name)
    for edit in edits:
        path.write_bytes(apply(path.read_bytes(), edit) or b"\0")
    forge_index(video.with_name("memory_index.json"))
    victim.read(video, honest=True, thorough=deep == 0)  # texts come from the video, whatever an index says
    shutil.rmtree(video.parent.parent)


@many
@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(["video", "model", "vectors", "files"]), st.integers(0, 7),
            st.one_of(
                st.sampled_from(NASTY), st.integers(-5, 300), st.text(max_size=5), st.none(), st.booleans(),
                st.floats(), st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.none()),
            ),
        ), min_size=1, max_size=3,
    )
)  # fmt: skip
def test_manifests_that_say_anything_about_themselves(
    sound: Path, victim: Victim, fields: list[tuple[str, int, object]]
) -> None:
    video = fresh(sound)

    def change(content: dict[str, object]) -> None:
        for part, at, value in fields:
            entry = content[part]
            assert isinstance(entry, dict)
            if part != "files":
                entry[sorted(entry)[at % len(entry)]] = value

    forge_index(video.with_name("memory_index.json"), change)
    victim.read(video, honest=True)
    shutil.rmtree(video.parent.parent)


@many
@given(
    frame=st.integers(0, 9), edits=st.lists(changes, min_size=1, max_size=3), reseal=st.booleans(),
    table_edits=st.lists(changes, max_size=2), deep=st.integers(0, 3),
)  # fmt: skip
def test_pages_and_tables_whose_checksums_were_made_to_fit(
    sound: Path, victim: Victim, frame: int, edits: list[tuple[str, int, object]], reseal: bool,
    table_edits: list[tuple[str, int, object]], deep: int,
) -> None:  # fmt: skip
    video = fresh(sound)
    payloads, table = payloads_of(video)
    at = frame % len(payloads)
    changed = payloads[at]
    for edit in edits:
        changed = apply(changed, edit)[: len(payloads[at])] or b"\0"
    if reseal and len(changed) > 28:
        _, _, _, kind, flags, count, tag, number, first, _ = struct.unpack_from("<2sBBBBHIIQI", changed)
        kind = PageKind(kind % len(PageKind))
        changed = seal(PageBody(kind, flags, count, first, changed[28:]), tag=tag, page_number=number)
    payloads[at] = changed
    data = rebuild_table(payloads, table)
    for edit in table_edits:
        data = apply(data, edit)
    with suppress(ChunkTooLargeError):  # what is no page any more is drawn as a text, which a code holds less of
        forge_video(video, payloads, data)
    victim.read(video, thorough=deep == 0)
    shutil.rmtree(video.parent.parent)


@many
@given(
    place=st.integers(0, 40), what=st.sampled_from(["drop", "double", "size", "name", "nest", "front", "put"]),
    number=st.sampled_from(NASTY), deep=st.integers(0, 7),
)  # fmt: skip
def test_boxes_that_were_moved_about(
    sound: Path, victim: Victim, place: int, what: str, number: int, deep: int
) -> None:
    video = fresh(sound)
    data = video.read_bytes()
    found = all_boxes(data)
    start, body, end = found[place % len(found)]
    box = data[start:end]
    if what == "drop":
        changed = data[:start] + data[end:]
    elif what == "double":
        changed = data[:end] + box + data[end:]
    elif what == "size":
        changed = data[:start] + struct.pack(">I", number & 0xFFFFFFFF) + data[start + 4 :]
    elif what == "name":
        changed = data[: start + 4] + b"moov" + data[start + 8 :]
    elif what == "nest":
        changed = data[:start] + struct.pack(">I", len(box) + 8) + data[start + 4 : start + 8] + box + data[end:]
    elif what == "front":
        changed = data[:32] + box + data[32:]
    else:
        changed = data[:body] + struct.pack(">Q", number) + data[body + 8 :]
    video.write_bytes(changed)
    victim.read(video, honest=True, thorough=deep == 0)
    shutil.rmtree(video.parent.parent)


@many
@given(text=st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), lambda inner:
       st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["renames", "version", "name", "folder", "bytes"]),
       inner, max_size=4)).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_journal_is_an_error_or_nothing(sound: Path, victim: Victim, text: bytes) -> None:
    video = fresh(sound)
    video.with_name(JOURNAL).write_bytes(text)
    victim.read(video, honest=True)
    shutil.rmtree(video.parent.parent)
