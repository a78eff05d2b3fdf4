from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memvid.errors import OutputError
from memvid.index.section_file import SectionFileError, SectionWriter, read_sections

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {"one": b"x" * 100, "nothing": b"", "fields.long_name": b"y" * 64, "last": b"z"}


def write(path: Path, parts: dict[str, bytes]) -> bytes:
    with SectionWriter(path, tuple(parts)) as writer:
        for name, data in parts.items():
            writer.add(name, data[:7], memoryview(data)[7:])
        writer.finish()
    return path.read_bytes()


def test_sections_are_read_as_they_were_written(tmp_path: Path) -> None:
    data = write(tmp_path / "file", PARTS)
    assert {name: bytes(part) for name, part in read_sections(memoryview(data)).items()} == PARTS
    assert all(data.index(part) % 64 == 0 for part in (b"x" * 100, b"y" * 64, b"z"))
    assert data == write(tmp_path / "again", PARTS)
    assert read_sections(memoryview(write(tmp_path / "none", {}))) == {}


def test_another_writer_appends_a_section(tmp_path: Path) -> None:
    def write_behind(path: Path, size: int) -> int:
        assert path.stat().st_size == size
        with path.open("ab") as file:
            return file.write(b"from elsewhere")

    with SectionWriter(tmp_path / "file", ("own", "other", "behind")) as writer:
        writer.add("own", b"1")
        writer.append("other", write_behind)
        writer.add("behind", b"2")
        writer.finish()
    parts = read_sections(memoryview((tmp_path / "file").read_bytes()))
    assert [bytes(part) for part in parts.values()] == [b"1", b"from elsewhere", b"2"]


def test_a_file_that_was_not_finished_is_none(tmp_path: Path) -> None:
    with SectionWriter(tmp_path / "file", ("one", "two")) as writer:
        writer.add("one", b"1")
        with pytest.raises(ValueError, match="'three' is not the next"):
            writer.add("three", b"3")
        with pytest.raises(ValueError, match="'two' is missing"):
            writer.finish()
    with pytest.raises(SectionFileError):
        read_sections(memoryview((tmp_path / "file").read_bytes()))


def test_what_was_there_is_replaced_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old" * 1000)
    path.chmod(0o600)
    assert bytes(read_sections(memoryview(write(path, {"a": b"1"})))["a"]) == b"1"
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(OutputError):
        SectionWriter(tmp_path / "missing" / "file", ())


@pytest.mark.parametrize("size", [0, 7, 15, 40, 110, 250])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    data = write(tmp_path / "file", PARTS)
    with pytest.raises(SectionFileError):
        read_sections(memoryview(data[:size]))


def test_files_that_lie_are_refused(tmp_path: Path) -> None:
    sound = write(tmp_path / "file", PARTS)
    lies = [bytes([*sound[:at], sound[at] ^ 1 << bit, *sound[at + 1 :]]) for at in range(16) for bit in range(8)]
    for entry in range(len(PARTS)):  # offset and size of each
        lies += [
            bytes([*sound[:at], sound[at] ^ 0x41, *sound[at + 1 :]])
            for at in range(16 + 32 * entry + 16, 16 + 32 * entry + 32)
        ]
    lies += [sound + b"\0", sound[:-1], sound.replace(b"nothing", b"one\0\0\0\0")]
    zeros = sound.index(b"x" * 100) + 100
    lies.append(sound[:zeros] + b"!" + sound[zeros + 1 :])
    for lie in lies:
        with pytest.raises(SectionFileError):
            read_sections(memoryview(lie))
