"""Several damaged copies of one memory are as good as what all of them have together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memvid import MemvidAppender, _core
from memvid.cli import main
from memvid.errors import VideoFormatError, VideoNotFoundError
from memvid.maintenance import repair, verify
from memvid.storage.commit import default_index_file
from memvid.video import VideoReader
from memvid.video.codecs import available_codecs
from memvid.video.codecs.writing import PictureWriter
from tests.maintenance.repair.repair_support import BARE, METADATAS, TEXTS, spoil
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import make_video, samples


@pytest.fixture(params=[{"symbol_version": 8}, BARE], ids=["pages", "bare"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "whole").mkdir()
    return build(tmp_path / "whole", TEXTS, metadatas=METADATAS, **request.param)


def damaged(video: Path, name: str, parity: int) -> Path:
    """A copy of which every second frame cannot be read."""
    data = video.read_bytes()
    for frame in samples(data)[parity::2]:
        data = spoil(data, frame)
    copy = video.parent.parent / name
    copy.write_bytes(data)
    return copy


def append(video: Path, text: str) -> None:
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks([text])
        appender.append()


def test_together_they_are_whole(video: Path, tmp_path: Path) -> None:
    one, other = damaged(video, "one.mp4", 0), damaged(video, "other.mp4", 1)
    new = tmp_path / "new.mp4"
    result = repair([one, other], new, output_index=default_index_file(new), embedder=EMBEDDER)
    assert result.lost == ()
    assert new.read_bytes() == video.read_bytes()
    assert verify(tmp_path / "new.mp4", deep=True).ok


def test_what_was_found_is_told_with_the_copy(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(video, "one.mp4", 0), damaged(video, "other.mp4", 1)
    monkeypatch.chdir(tmp_path)
    assert main(["repair", "one.mp4", "other.mp4", "-o", "new.mp4", "--index", "whole/memory_index.json"]) == 0
    said = capsys.readouterr().out
    assert "one.mp4: frame 0 cannot be read" in said


def test_a_copy_that_lost_other_frames_and_one_that_was_cut(video: Path, tmp_path: Path) -> None:
    one = damaged(video, "one.mp4", 0)
    cut = tmp_path / "cut.mp4"
    data = video.read_bytes()
    cut.write_bytes(data[: data.index(samples(data)[-2])])
    new = tmp_path / "new.mp4"
    assert (
        main(["repair", str(one), str(cut), "-o", str(new), "--index", str(video.with_name("memory_index.json"))]) == 0
    )
    with open_memory(new) as memory:
        texts = {chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids())}
    assert texts >= set(TEXTS[:70])


def test_an_older_copy_gives_what_the_newer_one_has_lost(video: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.mp4"
    shutil.copy(video, older)
    append(video, "a text that was added")
    newer = damaged(video, "newer.mp4", 0)
    shutil.copy(video.with_name("memory_index.json"), tmp_path / "newer_index.json")
    result = repair([newer, older], tmp_path / "new.mp4", embedder=EMBEDDER)
    assert set(range(80)) <= {*range(81)} - {chunk for first, last in result.lost for chunk in range(first, last + 1)}
    with open_memory(tmp_path / "new.mp4") as memory:
        assert [chunk.text for chunk in memory.get_chunks_by_id(range(80))] == TEXTS


def test_copies_that_were_changed_apart_are_refused(video: Path, tmp_path: Path) -> None:
    shutil.copytree(video.parent, tmp_path / "apart")
    other = tmp_path / "apart" / "memory.mp4"
    append(video, "one text")
    append(other, "another")
    with pytest.raises(VideoFormatError, match=r"apart from each other: .* repair each by itself"):
        repair([video, other], tmp_path / "new.mp4", embedder=EMBEDDER)
    assert not (tmp_path / "new.mp4").exists()


def test_different_memories_are_refused_by_name(video: Path, tmp_path: Path) -> None:
    foreign = build(tmp_path, ["of another memory"], name="foreign")
    with pytest.raises(VideoFormatError, match=r"foreign.mp4 is of another memory .* than .*memory.mp4"):
        repair([video, foreign], tmp_path / "new.mp4", embedder=EMBEDDER)


def test_no_copy_at_all(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError, match="no video to repair"):
        repair([], tmp_path / "new.mp4")


@pytest.mark.parametrize("cover", [0, 1, 4], ids="shown {} times".format)
@pytest.mark.parametrize("described", [True, False], ids=["metadata", "no metadata"])
@pytest.mark.parametrize("wanted", [0, 1])
def test_of_two_memories_in_one_film_comes_the_one_that_the_index_names(
    tmp_path: Path, wanted: int, *, described: bool, cover: int
) -> None:
    if "ffv1" not in available_codecs():
        pytest.skip("this machine cannot write ffv1")
    metadatas = [{"number": number} for number in range(9)] if described else None
    texts = [make_texts(9, seed=1), make_texts(9, seed=2)]
    videos = []
    for name, some in zip(("one", "two"), texts, strict=True):
        (tmp_path / name).mkdir()
        videos.append(
            build(tmp_path / name, some, metadatas=metadatas, **BARE | {"symbol_version": 20, "cover": cover > 0})
        )  # fmt: skip
    pages, plain = (_core.SymbolOptions(version=20, utf8=utf8) for utf8 in (False, True))
    writer = PictureWriter(tmp_path / "film.mkv", codec="ffv1", version=20, pages=pages, texts=plain, fps=30)
    for video in videos:
        payloads = [payload for _, payload in VideoReader(video).read_all()]
        writer.write(payloads[: cover > 0] * cover + payloads[cover > 0 :])
    writer.finish(b"")
    index = videos[wanted].with_name("memory_index.json")
    result = repair(
        tmp_path / "film.mkv", tmp_path / "new.mp4", index=index, output_index=tmp_path / "n.json", embedder=EMBEDDER
    )
    assert result.lost == ()
    assert result.video_file.read_bytes() == videos[wanted].read_bytes()
    assert any("of another memory" in finding.message for finding in result.findings)


def test_pages_that_were_changed_apart_in_one_film_are_named(tmp_path: Path) -> None:
    """Two states of a memory that somebody joined: one has what the other has not, under the same numbers."""
    video = build(tmp_path, TEXTS[:10], symbol_version=8)
    other = Path(shutil.copytree(tmp_path, tmp_path / "other")) / video.name
    older = samples(video.read_bytes())
    append(video, "one")
    append(other, "another")
    reader = VideoReader(video)
    first, second = samples(video.read_bytes()), samples(other.read_bytes())
    for name, pictures, findings in (("joined", first + second, 1), ("again", older + first, 0)):
        joined = tmp_path / f"{name}.mp4"
        make_video(joined, pictures, reader.width, reader.height)
        result = repair(joined, tmp_path / f"{name}-repaired.mp4", embedder=EMBEDDER)
        assert (result.chunks, result.lost, len(result.findings)) == (11, (), findings)
        assert all("frames hold other pages" in finding.message for finding in result.findings)
