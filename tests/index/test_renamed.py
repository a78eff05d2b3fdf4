"""Memories whose files were renamed or copied: they open and change, and what they were copied from stays as it was."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from memvid import MemvidEncoder, maintenance
from memvid.errors import IndexFormatError, IndexMismatchError, IndexNotFoundError
from memvid.index.manifest import number_of, own_name, read_manifest
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory

TEXTS = make_texts(200, words=6)


def make(folder: Path, name: str = "a") -> Path:
    """A memory with what an index can have: two segments and deletions."""
    folder.mkdir(exist_ok=True)
    video = build(folder, TEXTS[:150], name=name)
    with MemvidEncoder.open(video) as memory:
        memory.add_chunks(TEXTS[150:160])
        memory.delete([3])
        memory.append()
    return video


def rename(video: Path, name: str, *, do: Callable[[Path, Path], object] = shutil.move) -> Path:
    """``mv a* b*``, or ``cp``."""
    stem = video.stem
    for file in sorted(video.parent.glob(f"{stem}[._]*")):
        do(file, file.with_name(name + file.name.removeprefix(stem)))
    return video.with_name(f"{name}.mp4")


def append(video: Path, text: str = "something more") -> None:
    with MemvidEncoder.open(video) as memory:
        memory.add_chunks([text])
        memory.append()


def check(video: Path, chunks: int = 159) -> None:
    """That a memory is sound and answers, and that all its files have its name."""
    assert maintenance.verify(video, deep=True).findings == ()
    with open_memory(video) as memory:
        assert len(memory) == chunks
        assert memory.search(TEXTS[7], 1) == [TEXTS[7]]
        assert memory.search(TEXTS[155], 1) == [TEXTS[155]]


def names_of(video: Path) -> list[str]:
    manifest = read_manifest(video.with_name(f"{video.stem}_index.json"))
    return [file.name for _, file in manifest.side_files()]


VERBS: dict[str, tuple[Callable[[Path], object], int]] = {
    "append": (append, 160),
    "delete": (lambda video: maintenance.delete(video, chunk_ids=[5]), 158),
    "compact": (maintenance.compact, 159),
    "erase": (lambda video: maintenance.erase(video, chunk_ids=[5]), 158),
    "reindex": (lambda video: maintenance.reindex(video, embedder=EMBEDDER), 159),
}


@pytest.mark.parametrize(
    "name", ["b", "memory.tar", "with a blank", "näme", unicodedata.normalize("NFD", "näme"), "B", "12:30", "a\nb"]
)
def test_a_memory_of_another_name_opens(tmp_path: Path, name: str) -> None:
    check(rename(make(tmp_path), name))


@pytest.mark.parametrize("verb", VERBS)
def test_a_renamed_memory_changes_as_one_that_always_had_its_name(tmp_path: Path, verb: str) -> None:
    change, chunks = VERBS[verb]
    renamed = rename(make(tmp_path / "x"), "b")
    before = make(tmp_path / "y", "b")
    for video in (renamed, before):
        change(video)
        check(video, chunks)
    assert all_files(tmp_path / "x") == all_files(tmp_path / "y")


@pytest.mark.parametrize("verb", VERBS)
def test_a_memory_whose_folder_is_a_link_changes(tmp_path: Path, verb: str) -> None:
    change, chunks = VERBS[verb]
    video = make(tmp_path / "folder")
    (tmp_path / "link").symlink_to("folder", target_is_directory=True)
    change(tmp_path / "link" / video.name)
    check(video, chunks)
    check(tmp_path / "link" / video.name, chunks)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("verb", VERBS)
def test_a_copy_and_its_original_are_two_memories(tmp_path: Path, verb: str) -> None:
    change, chunks = VERBS[verb]
    video = make(tmp_path)
    copy = rename(video, "b", do=shutil.copy)
    for changed, other in ((video, copy), (copy, video)):
        before = {name: data for name, data in all_files(tmp_path).items() if name.startswith(other.stem)}
        change(changed)
        assert {name: data for name, data in all_files(tmp_path).items() if name.startswith(other.stem)} == before
        check(changed, chunks)
        check(other, 159 if changed == video else chunks)
    for name in all_files(tmp_path):
        if name.startswith("a"):
            (tmp_path / name).unlink()
    check(copy, chunks)


@pytest.mark.parametrize("verb", VERBS)
def test_a_copy_without_side_files_reads_those_of_its_original_and_gets_its_own(tmp_path: Path, verb: str) -> None:
    change, chunks = VERBS[verb]
    video = make(tmp_path)
    original = all_files(tmp_path)
    copy = tmp_path / "b.mp4"
    shutil.copy(video, copy)
    shutil.copy(tmp_path / "a_index.json", tmp_path / "b_index.json")
    check(copy)
    change(copy)
    assert {name: data for name, data in all_files(tmp_path).items() if name.startswith("a")} == original
    for name in original:
        (tmp_path / name).unlink()
    check(copy, chunks)
    assert all(name.startswith("b_index.") for name in names_of(copy))
    append(copy, "one more thing")
    check(copy, chunks + 1)
    assert set(all_files(tmp_path)) == {"b.mp4", "b_index.json", *names_of(copy)}


def test_an_erasure_names_the_files_that_it_may_not_touch(tmp_path: Path) -> None:
    video = make(tmp_path)
    copy = tmp_path / "b.mp4"
    shutil.copy(video, copy)
    shutil.copy(tmp_path / "a_index.json", tmp_path / "b_index.json")
    foreign = {tmp_path / name for name in all_files(tmp_path) if name.startswith("a_index.") and ".json" not in name}
    assert set(maintenance.erase(copy, chunk_ids=[5]).foreign_files) == foreign
    assert maintenance.erase(copy, chunk_ids=[6]).foreign_files == ()


def test_of_two_files_the_one_with_the_digest_counts(tmp_path: Path) -> None:
    copy = rename(make(tmp_path), "b", do=shutil.copy)
    own, named = tmp_path / "b_index.usearch", tmp_path / "a_index.usearch"
    whole = own.read_bytes()
    for broken in (own, named):
        broken.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        check(copy)
        broken.write_bytes(whole)
    own.write_bytes(b"")
    named.unlink()
    with pytest.raises(IndexFormatError, match=r"b_index\.usearch .*memvid reindex VIDEO"):
        open_memory(copy)


def test_files_that_were_left_behind_are_named_all_of_them(tmp_path: Path) -> None:
    video = make(tmp_path / "x")
    target = tmp_path / "b.mp4"
    shutil.copy(video, target)
    with pytest.raises(IndexNotFoundError, match=r"b_index\.json.*memvid reindex VIDEO"):
        open_memory(target)
    shutil.copy(tmp_path / "x" / "a_index.json", tmp_path / "b_index.json")
    missing = (
        r"b_index\.usearch and .*b_index\.records and .*b_index\.deleted\.1 are missing: copy .*memvid reindex VIDEO"
    )
    with pytest.raises(IndexFormatError, match=missing):
        open_memory(target)
    report = maintenance.verify(target)
    lacking = {Path(finding.file).name for finding in report.errors}
    assert lacking == {file.name.replace("a", "b", 1) for file in (tmp_path / "x").glob("a_index.[!j]*")}
    maintenance.reindex(target, embedder=EMBEDDER)
    check(target)


def test_an_index_in_another_folder_is_renamed_by_itself(tmp_path: Path) -> None:
    (tmp_path / "indexes").mkdir()
    with MemvidEncoder(embedder=EMBEDDER) as encoder:
        encoder.add_chunks(TEXTS)
        encoder.build_video(tmp_path / "a.mp4", tmp_path / "indexes" / "a.json")
    (tmp_path / "a.mp4").rename(tmp_path / "b")
    for file in (tmp_path / "indexes").iterdir():
        file.rename(file.with_name("other.idx" + file.name.removeprefix("a")))
    with MemvidEncoder.open(tmp_path / "b", tmp_path / "indexes" / "other.idx.json") as memory:
        memory.add_chunks(["one more"])
        memory.append()
    with open_memory(tmp_path / "b", tmp_path / "indexes" / "other.idx.json") as retriever:
        assert retriever.search("one more", 1) == ["one more"]
    assert all(name.startswith("other.idx.") for name in all_files(tmp_path / "indexes"))


def test_a_renamed_index_of_another_video_stays_refused(tmp_path: Path) -> None:
    make(tmp_path, "c")
    copy = rename(make(tmp_path), "b")
    build(tmp_path, TEXTS[:3], name="b2")
    shutil.copy(tmp_path / "b2.mp4", copy)
    with pytest.raises(IndexMismatchError):
        open_memory(copy)


def test_a_damaged_memory_under_another_name_is_repaired_with_its_embeddings(tmp_path: Path) -> None:
    copy = rename(make(tmp_path), "b")
    result = maintenance.repair(copy, tmp_path / "c.mp4")
    assert result.embeddings_made == 0
    check(tmp_path / "c.mp4")


def test_names_by_the_manifests_own() -> None:
    assert own_name(Path("x/b.json"), "records", "a_index.records.3") == "b.records.3"
    assert own_name(Path("x/b.JSON"), "vectors", "a.usearch.usearch") == "b.usearch"
    assert own_name(Path("x/b.json"), "vectors", "a.records") == "a.records"  # not the name of such a file
    assert own_name(Path("x/b.json"), "deleted", "a.deleted.03") == "a.deleted.03"
    assert number_of("records", "a.records.12") == 12
    assert number_of("records", "a.records") == 0
