"""A memory in another codec is the same memory."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from memvid.cli import main
from memvid.config import EncoderConfig
from memvid.errors import ConfigError, FrameError, MemvidError, OutputError, VideoNotFoundError
from memvid.exchange import export
from memvid.exchange.transcode import Step, transcode
from memvid.page import HeaderInfo, PageKind, encode_header_body, pack_blob, seal
from memvid.types import Progress
from memvid.video import VideoReader, VideoWriter
from memvid.video.codecs import PROFILES, available_codecs, decode_pictures
from tests.memory_support import all_files, build, make_texts, open_memory

TEXTS = make_texts(80)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("export"), TEXTS, symbol_version=15, error_correction="M")


def index_of(video: Path) -> Path:
    return video.with_name(f"{video.stem}_index.json")


def need(codec: str) -> Any:
    if codec not in available_codecs():
        pytest.skip(f"this machine cannot write {codec}")
    return codec


@pytest.mark.parametrize("codec", PROFILES)
def test_the_old_index_searches_the_new_video(codec: str, memory: Path, tmp_path: Path) -> None:
    result = export(memory, tmp_path / "other.mp4", codec=need(codec))
    assert [path.name for path in tmp_path.iterdir()] == ["other.mp4"]
    assert result.video_bytes == (tmp_path / "other.mp4").stat().st_size
    assert result.source_bytes == memory.stat().st_size
    with open_memory(memory) as ours, open_memory(tmp_path / "other.mp4", index_of(memory)) as theirs:
        for query in ("login backup", "river mountain engine", "telescope"):
            assert theirs.search_results(query, 8) == ours.search_results(query, 8)
        assert theirs.info.frames == result.frames == ours.info.frames
        assert (theirs.info.width, theirs.info.height) == (result.width, result.height)


@pytest.mark.parametrize("options", [{"codec": "ffv1"}, {"codec": "h264", "crf": 30}, {"codec": "av1"}])
def test_back_again_gives_the_same_bytes(options: dict[str, Any], memory: Path, tmp_path: Path) -> None:
    need(options["codec"])
    export(memory, tmp_path / "there.mkv", **options)
    export(tmp_path / "there.mkv", tmp_path / "back.mp4", codec="png")
    assert (tmp_path / "back.mp4").read_bytes() == memory.read_bytes()


def test_a_video_that_was_made_faster(memory: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    export(memory, tmp_path / "a.mkv", codec=need("h264"))
    transcode(tmp_path / "a.mkv", tmp_path / "b.mkv", Step(codec="h264", quality=20, gop=1, fps=900), side=0)
    with closing(VideoReader(tmp_path / "b.mkv")) as fast:
        assert fast.fps > 240
    export(tmp_path / "b.mkv", tmp_path / "c.mp4", codec="png")
    with open_memory(tmp_path / "c.mp4", index_of(memory)) as theirs:
        assert theirs.get_chunk_by_id(79) == TEXTS[79]


def test_it_says_how_far_it_is(memory: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = export(memory, tmp_path / "a.mp4", codec=need("mp4v"), progress=seen.append)
    assert {progress.stage for progress in seen} == {"write", "verify"}
    assert all(progress.total == result.frames for progress in seen)
    assert seen[-1].done == result.frames


def test_bare_texts_keep_their_ids(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", EncoderConfig(compression="none", chunks_per_frame=1), tag=7)
    header = HeaderInfo(
        memory_id="07000000" * 8,
        chunks=3,
        text_bytes=9,
        symbol_version=40,
        error_correction="L",
        bare=True,
        compression="none",
        dictionary_pages=0,
        dictionary_bytes=0,
    )
    bodies = pack_blob(PageKind.HEADER, encode_header_body(header), capacity=2900)
    writer.write([seal(body, tag=7, page_number=number) for number, body in enumerate(bodies)])
    for chunk_id, text in ((2, b"two"), (3, b"three"), (9, b"nine")):
        writer.skip_to(chunk_id)
        writer.write([text])
    table = writer.finish()
    export(tmp_path / "a.mp4", tmp_path / "b.mp4", codec=need("ffv1"))
    with closing(VideoReader(tmp_path / "b.mp4")) as video:
        assert video.identity.digest == table.digest
        assert video.read(video.table.frames_of(np.array([9, 2]))) == [b"nine", b"two"]


@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_modules_of_other_sizes(pixels: int, memory: Path, tmp_path: Path) -> None:
    result = export(memory, tmp_path / "a.mp4", codec=need("ffv1"), pixels_per_module=pixels)
    assert result.width % 16 == result.height % 16 == 0
    assert result.width >= (4 * 15 + 17 + 8) * pixels


class TestNothingIsReplacedByLess:
    def test_a_quality_that_loses_pages_writes_nothing(self, memory: Path, tmp_path: Path) -> None:
        output = tmp_path / "a.mp4"
        precious = memory.read_bytes()
        output.write_bytes(precious)
        with pytest.raises(FrameError):
            export(memory, output, codec=need("h264"), crf=51, pixels_per_module=2)
        assert all_files(tmp_path) == {"a.mp4": precious}

    def test_a_damaged_source_writes_nothing(self, memory: Path, tmp_path: Path) -> None:
        data = bytearray(memory.read_bytes())
        data[300:400] = bytes(100)
        (tmp_path / "damaged.mp4").write_bytes(data)
        with pytest.raises(MemvidError):
            export(tmp_path / "damaged.mp4", tmp_path / "a.mp4", codec=need("ffv1"))
        assert [path.name for path in tmp_path.iterdir()] == ["damaged.mp4"]

    def test_not_onto_itself(self, memory: Path, tmp_path: Path) -> None:
        before = memory.read_bytes()
        (tmp_path / "link.mp4").symlink_to(memory)
        for output in (memory, tmp_path / "link.mp4"):
            with pytest.raises(OutputError, match="to be read: name another file"):
                export(memory, output, codec="png")
        assert memory.read_bytes() == before

    def test_what_is_not_there(self, memory: Path, tmp_path: Path) -> None:
        with pytest.raises(VideoNotFoundError):
            export(tmp_path / "none.mp4", tmp_path / "a.mp4")
        with pytest.raises(OutputError, match="create the folder"):
            export(memory, tmp_path / "none" / "here" / "a.mp4", codec=need("ffv1"))
        with pytest.raises(ConfigError, match="codec='mpeg'"):
            export(memory, tmp_path / "a.mp4", codec="mpeg")  # type: ignore[arg-type]


class TestOtherPrograms:
    def test_opencv_reads_every_frame(self, memory: Path, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        export(memory, path, codec=need("h264"))
        capture = cv2.VideoCapture(str(path))
        pictures = []
        while (frame := capture.read())[0]:
            pictures.append(np.asarray(cv2.cvtColor(frame[1], cv2.COLOR_BGR2GRAY), np.uint8))
        capture.release()
        assert pictures[0].min() < 10  # black and white as a player shows them
        assert pictures[0].max() > 245
        with closing(VideoReader(memory)) as video:
            assert decode_pictures(pictures)[0] == [payload for _, payload in video.read_all()]

    def test_browsers_can_start_before_they_have_it_all(self, memory: Path, tmp_path: Path) -> None:
        export(memory, tmp_path / "a.mp4", codec=need("h264"))
        data = (tmp_path / "a.mp4").read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")

    @pytest.mark.tools
    @pytest.mark.parametrize("codec", PROFILES)
    def test_ffprobe_has_no_complaint(
        self, codec: str, memory: Path, tmp_path: Path, program: Callable[[str], str]
    ) -> None:
        path = tmp_path / "a.mp4"
        result = export(memory, path, codec=need(codec))
        show = ["-count_frames", "-show_entries", "stream=nb_read_frames,pix_fmt,width", "-of", "json"]
        done = subprocess.run(
            [program("ffprobe"), "-v", "error", *show, str(path)], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        (stream,) = json.loads(done.stdout)["streams"]
        assert int(stream["nb_read_frames"]) == result.frames
        if PROFILES[codec].pyav:
            assert stream["pix_fmt"] == "yuv420p"

    @pytest.mark.tools
    def test_a_remuxed_video_is_the_same_memory(
        self, memory: Path, tmp_path: Path, program: Callable[[str], str]
    ) -> None:
        export(memory, tmp_path / "a.mp4", codec=need("h264"))
        for source, target in (("a.mp4", "b.mkv"), ("b.mkv", "c.mp4")):
            copy = [program("ffmpeg"), "-v", "error", "-i", str(tmp_path / source), "-c", "copy"]
            subprocess.run([*copy, str(tmp_path / target)], check=True)
            with open_memory(tmp_path / target, index_of(memory)) as theirs:
                assert theirs.get_chunk_by_id(79) == TEXTS[79]

    @pytest.mark.tools
    @pytest.mark.parametrize("codec", ["png", "h264"])
    def test_a_video_in_fragments_is_the_same_memory(
        self, codec: Any, memory: Path, tmp_path: Path, program: Callable[[str], str]
    ) -> None:
        pytest.importorskip("av")
        if codec != "png":
            need(codec)
        export(memory, tmp_path / "a.mp4", codec=codec)
        copy = [program("ffmpeg"), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-c", "copy"]
        subprocess.run([*copy, "-movflags", "frag_keyframe+empty_moov", str(tmp_path / "b.mp4")], check=True)
        with open_memory(tmp_path / "b.mp4", index_of(memory)) as theirs:
            assert theirs.get_chunk_by_id(79) == TEXTS[79]


class TestCommand:
    def test_writes_and_says_so(self, memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        output = tmp_path / "a.mp4"
        arguments = ["export", str(memory), "-o", str(output), "--codec", need("ffv1")]
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "of the text" in out
        assert f"--index {index_of(memory)}" in out
        assert main(arguments) == 1
        assert "--force replaces it" in capsys.readouterr().err
        assert main([*arguments, "--force", "--pixels-per-module", "2", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["codec"] == "ffv1"
        assert report["video_bytes"] == output.stat().st_size
        assert Path(report["video_file"]) == output

    def test_builds_in_another_codec(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("One thing is stored here.", encoding="utf-8")
        arguments = ["build", str(tmp_path / "a.txt"), "-o", str(tmp_path / "m.mp4"), "--model", "hashing"]
        assert main([*arguments, "--codec", need("h264"), "--crf", "30", "--pixels-per-module", "4"]) == 0
        assert main(["info", str(tmp_path / "m.mp4"), "--model", "hashing"]) == 0
        assert "752 x 752 pixels, h264" in capsys.readouterr().out
