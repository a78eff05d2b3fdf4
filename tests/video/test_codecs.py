"""Videos in other codecs: written, found again frame by frame, and opened like our own."""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid import EncoderConfig, _core
from memvid.errors import (
    ClosedError,
    ConfigError,
    DependencyError,
    FrameError,
    OutputError,
    VideoFormatError,
)
from memvid.maintenance import verify
from memvid.video import VideoReader, VideoWriter
from memvid.video.codecs import (
    PROFILES,
    available_codecs,
    check_codec,
    decode_pictures,
    profiles,
    sources,
)
from memvid.video.codecs.page_table_box import append_page_table, find_page_table
from memvid.video.codecs.sources import AvSource, OpenCvSource
from memvid.video.codecs.writing import PictureWriter, draw_symbol, picture_side
from tests.memory_support import build, make_texts, open_memory
from tests.video.video_support import TABLE_UUID, TAG, boxes, make_pages, overwrite_packets, write_video

OPTIONS = _core.SymbolOptions(version=5)
VERSION = 5


def need(codec: str) -> str:
    """The codec, or a skipped test where this machine cannot write it."""
    if codec not in available_codecs():
        pytest.skip(f"this machine cannot write {codec}")
    return codec


@pytest.fixture(params=PROFILES)
def codec(request: pytest.FixtureRequest) -> str:
    return need(request.param)


def write(path: Path, payloads: list[bytes], **options: Any) -> Path:
    writer = VideoWriter(path, EncoderConfig(symbol_version=VERSION, **options), tag=TAG)
    writer.write(payloads)
    writer.finish()
    return path


def write_frames(path: Path, payloads: list[bytes]) -> Path:
    """Frames in an order that no writer of memories makes, and no page table."""
    writer = PictureWriter(path, codec=need("ffv1"), version=VERSION, pages=OPTIONS, texts=OPTIONS, fps=30)
    writer.write(payloads)
    writer.finish(b"")
    if path.suffix == ".mp4":
        without_table(path)
    return path


def reencode(source: Path, target: Path, *, gop: int, crf: int = 23) -> Path:
    """By x264 with its own defaults: frames between keyframes, and some that refer to later ones."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream(need("h264") and "libx264", rate=30, options={"crf": str(crf), "bf": "3"})
        stream.width = stream.height = read.streams.video[0].width
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        for frame in read.decode(video=0):
            written.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p")))
        written.mux(stream.encode(None))
    return target


class TestMemories:
    def test_every_codec_holds_the_same_memory(self, codec: str, tmp_path: Path) -> None:
        texts = make_texts(60)
        metadatas = [{"n": number} for number in range(60)]
        options = {"symbol_version": 20, "metadatas": metadatas}
        original = build(tmp_path, texts, name="original", **options)
        other = build(tmp_path, texts, name="other", codec=codec, **options)
        with open_memory(original) as ours, open_memory(other) as theirs:
            assert theirs.search_results("budget river", 7) == ours.search_results("budget river", 7)
            assert theirs.get_chunks_by_id(range(60)) == ours.get_chunks_by_id(range(60))
            assert theirs.info.memory_id == ours.info.memory_id
            assert theirs._video.identity.digest == ours._video.identity.digest
            assert theirs.stats.slow_reads == 0
            assert theirs.stats.fast_reads > 0
            assert theirs.info.codec != "png"

    def test_a_long_chunk_and_the_page_cache(self, tmp_path: Path) -> None:
        texts = ["short", "".join(random.Random(1).choices("abcdefgh", k=9000)), "last"]
        video = build(tmp_path, texts, codec=need("mp4v"), symbol_version=10, compression="none")
        with open_memory(video) as memory:
            for _ in range(2):
                assert [chunk.text for chunk in memory.get_chunks_by_id([2, 1, 0])] == texts[::-1]
            assert memory.stats.page_cache_hits > 0

    def test_bare_texts(self, tmp_path: Path) -> None:
        texts = ["Ünïcode", "no page at all", "no page at all"]
        metadatas = [{"a": 1}, None, {"b": 2}]
        video = build(
            tmp_path,
            texts,
            metadatas=metadatas,
            codec=need("ffv1"),
            compression="none",
            chunks_per_frame=1,
            symbol_version=10,
        )
        without_table(video)
        with open_memory(video) as memory:
            assert [(c.text, c.metadata) for c in memory.get_chunks_by_id([0, 1, 2])] == [
                (text, metadata or {}) for text, metadata in zip(texts, metadatas, strict=True)
            ]

    def test_many_threads_share_one(self, tmp_path: Path) -> None:
        texts = make_texts(40)
        video = build(tmp_path, texts, codec=need("mp4v"), symbol_version=10)
        with open_memory(video, page_cache_bytes=0) as memory:
            wrong: list[int] = []

            def ask(seed: int) -> None:
                ids = random.Random(seed).sample(range(40), 40)
                wrong.extend(i for i in ids if memory.get_chunk_by_id(i) != texts[i])

            threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []

    def test_same_input_same_bytes(self, codec: str, tmp_path: Path) -> None:
        pages = make_pages(5)
        suffix = ".mkv" if PROFILES[codec].pyav else ".mp4"
        first, second = (write(tmp_path / f"{name}{suffix}", pages, codec=codec) for name in "ab")
        assert first.read_bytes() == second.read_bytes()


class TestRandomAccess:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_every_codec_gives_exactly_the_frame_asked_for(self, codec: str, suffix: str, tmp_path: Path) -> None:
        pages = make_pages(40)
        with closing(VideoReader(write(tmp_path / f"a{suffix}", pages, codec=codec))) as video:
            order = random.Random(3).sample(range(40), 40)
            for frame in order:
                assert video.read([frame]) == [pages[frame]]
            assert video.read(order) == [pages[frame] for frame in order]
            assert [payload for _, payload in video.read_all(corrected=True)] == pages

    @pytest.mark.parametrize("codec_name", ["h264", "av1", "mp4v"])
    def test_avi_is_sought_too_not_counted(self, codec_name: str, tmp_path: Path) -> None:
        pages = make_pages(40)
        with closing(VideoReader(write(tmp_path / "a.avi", pages, codec=need(codec_name)))) as video:
            for frame in random.Random(3).sample(range(40), 40):
                assert video.read([frame]) == [pages[frame]]
            assert video.counters()["failed"] == 0

    @pytest.mark.parametrize("gop", [1, 12, 250])
    def test_between_keyframes_too(self, opener: Any, gop: int, tmp_path: Path) -> None:
        pages = make_pages(60)
        made = write(tmp_path / "a.mp4", pages, codec=need("h264"))
        source = opener(str(reencode(made, tmp_path / "b.mp4", gop=gop)))
        order = random.Random(gop).sample(range(60), 60)
        for counted in (False, True):
            for some in (order[:1], order[1:20], sorted(order[20:]), [59, 0]):
                payloads, _ = decode_pictures([p for p in source.fetch(some, counted=counted) if p is not None])
                assert payloads == [pages[frame] for frame in some]
        assert source.fetch([60], counted=True) == [None]
        assert len(list(source.pictures())) == source.frame_count == 60
        source.close()
        with pytest.raises(ClosedError, match="open it again"):
            source.fetch([0])
        source.close()

    def test_where_seeking_goes_wrong_frames_are_counted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pages = make_pages(10)
        path = write(tmp_path / "a.mp4", pages, codec=need("mp4v"))
        fetch = OpenCvSource.fetch

        def off_by_one(self: OpenCvSource, positions: Any, *, counted: bool = False) -> Any:
            return fetch(self, [p if counted else p + 1 for p in positions], counted=counted)

        monkeypatch.setattr(sources, "find_spec", lambda name: None)
        monkeypatch.setattr(OpenCvSource, "fetch", off_by_one)
        with closing(VideoReader(path)) as video:
            assert video.read([7, 9, 2]) == [pages[7], pages[9], pages[2]]
            counters = video.counters()
            assert (counters["failed"], counters["frames"]) == (3, 6)

    def test_a_frame_that_is_another_is_looked_for(self, tmp_path: Path) -> None:
        pages = make_pages(6)
        swapped = [pages[0], pages[1], pages[3], pages[2], *pages[4:]]
        path = write_frames(tmp_path / "a.mkv", swapped)
        with closing(VideoReader(path)) as video:  # pages say who they are
            assert video.read(range(6)) == pages
        table = write_video(tmp_path / "b.mp4", pages).to_bytes()
        path = write_frames(tmp_path / "c.mp4", swapped)
        append_page_table(path, table)
        with closing(VideoReader(path)) as video:
            assert video.read([1, 4]) == [pages[1], pages[4]]
            assert video.read([1, 2]) == [pages[1], pages[2]]  # looked for, as another page is there
        path = write_frames(tmp_path / "d.mp4", [pages[0], pages[1], pages[1], pages[3], *pages[4:]])
        append_page_table(path, table)
        with (
            closing(VideoReader(path)) as video,
            pytest.raises(FrameError, match=r"frame 2 .* not in the video any more"),
        ):
            video.read([1, 2])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("codec_name", ["h264", "av1", "mp4v"])
def test_a_forked_child_decodes_for_itself(codec_name: str, opener: Any, tmp_path: Path) -> None:
    if codec_name == "av1" and opener is OpenCvSource:
        pytest.skip("OpenCV has no decoder for it")
    pages = make_pages(30)
    source = opener(str(write(tmp_path / "a.mkv", pages, codec=need(codec_name))))

    def wrong(seed: int) -> int:
        order = random.Random(seed).choices(range(30), k=60)
        return sum(decode_pictures(source.fetch([frame]))[0] != [pages[frame]] for frame in order)

    assert wrong(0) == 0
    children = []
    for seed in range(2):
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(60, exit=True)  # decoders that wait for threads of the parent
            os._exit(1 if wrong(seed) else 0)
        children.append(child)
    assert wrong(2) == 0
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    source.close()


class TestDamagedFrames:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # with a page table, and without
    def test_only_the_frame_that_is_damaged_cannot_be_read(self, suffix: str, tmp_path: Path) -> None:
        pages = make_pages(20)
        path = write(tmp_path / f"a{suffix}", pages, codec=need("h264"))
        overwrite_packets(path, [7])
        source = AvSource(str(path))
        for counted in (False, True):
            pictures = source.fetch(range(20), counted=counted)
            assert [at for at, picture in enumerate(pictures) if picture is None] == [7]
        with closing(VideoReader(path)) as video:
            assert video.lost_frames.tolist() == ([7] if suffix == ".mkv" else [])
            assert video.read([6, 8, 19, 0]) == [pages[6], pages[8], pages[19], pages[0]]
            with pytest.raises(FrameError, match=r"frame 7 .* cannot be decoded"):
                video.read(range(20))

    def test_frames_behind_it_up_to_the_next_keyframe_are_tried(self, tmp_path: Path) -> None:
        pages = make_pages(40)
        path = write(tmp_path / "a.mp4", pages, codec=need("mp4v"))
        overwrite_packets(path, [14])
        with closing(VideoReader(path)) as video:
            assert video.read([13, *range(24, 40)]) == [pages[13], *pages[24:]]
            with pytest.raises(FrameError, match="frame 14 "):
                video.read([14])


class TestTables:
    def test_an_mp4_carries_it_behind_everything(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.mp4", make_pages(3), codec=need("mp4v"))
        data = path.read_bytes()
        name, _, body, end = list(boxes(data))[-1]
        assert (name, data[body : body + 16], end) == (b"uuid", TABLE_UUID, len(data))
        assert find_page_table(path) == data[body + 16 :]

    @pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
    def test_without_it_the_frames_are_read_once(
        self, suffix: str, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pages = make_pages(30)
        path = write(tmp_path / f"a{suffix}", pages, codec=need("mp4v"))
        table = write_video(tmp_path / "b.mp4", pages)
        if suffix == ".mp4":
            without_table(path)
        assert find_page_table(path) is None
        with closing(VideoReader(path)) as video:
            assert video.table.to_bytes() == table.to_bytes()
        (kept,) = (own_cache / "tables").iterdir()

        def fail(*_: object, **__: object) -> None:
            pytest.fail("the frames were read again")

        with monkeypatch.context() as patch:
            patch.setattr("memvid.video.layout.payloads_of", fail)
            with closing(VideoReader(path)) as video:
                assert video.table.digest == table.digest
                assert video.read([29, 3]) == [pages[29], pages[3]]
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")  # damaged: made again
        with closing(VideoReader(path)) as video:
            assert video.table.digest == table.digest

    def test_doubled_frames_do_no_harm_and_lost_ones_are_counted(self, tmp_path: Path) -> None:
        pages = make_pages(6)
        doubled = write_frames(tmp_path / "a.mkv", [page for page in pages for _ in range(2)])
        with closing(VideoReader(doubled)) as video:
            assert video.read(range(6)) == pages
        lossy = write_frames(tmp_path / "b.mkv", [pages[0], pages[1], pages[4], pages[5]])
        with closing(VideoReader(lossy)) as video:
            assert (len(video.table), video.identity.frames, video.lost_frames.tolist()) == (6, 4, [2, 3])
            assert video.identity.chunks == ((0, 1), (4, 5))
            assert video.read([5, 0, 4]) == [pages[5], pages[0], pages[4]]
            with pytest.raises(FrameError, match=r"frame 3 .* not in the video any more"):
                video.read([4, 3])

    @pytest.mark.parametrize("data", [b"", b"\0\0\0\x09ftyp\0", b"\0\0\0\1ftyp", b"\0\0\0\3free", b"x" * 99])
    def test_no_boxes_no_table(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(data)
        assert find_page_table(tmp_path / "a") is None


class TestDecoding:
    @given(
        version=st.integers(1, 40),
        scale=st.integers(2, 6),
        black=st.integers(0, 90),
        white=st.integers(150, 255),
        noise=st.integers(0, 25),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=40)
    def test_pale_noisy_pictures_of_any_size(
        self, version: int, scale: int, black: int, white: int, noise: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        (page,) = make_pages(1, size=28 + 1 + seed % 100, seed=seed)
        options = _core.SymbolOptions(version=version)
        if len(page) > _core.symbol_capacity(options):
            return
        picture = draw_symbol(page, options, scale, picture_side(version, scale))
        levels = np.where(picture < 128, black, white) + rng.integers(-noise, noise + 1, picture.shape)
        payloads, statuses = decode_pictures([np.clip(levels, 0, 255).astype(np.uint8)])
        assert (payloads, statuses.tolist()) == ([page], [0])

    @pytest.mark.parametrize("side", [376, 380, 500, 1504, 300])
    def test_resized_pictures(self, side: int) -> None:
        options = _core.SymbolOptions(version=40)
        (page,) = make_pages(1, size=2900)
        picture = draw_symbol(page, options, 4, picture_side(40, 4))
        resized = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        assert decode_pictures([np.asarray(resized, np.uint8)])[0] == [page]

    def test_what_cannot_be_read_is_a_status(self) -> None:
        page = draw_symbol(make_pages(1)[0], OPTIONS, 4, picture_side(VERSION, 4))
        damaged = page.copy()
        damaged[30:90, 30:90] = 0
        white = np.full((64, 64), 255, np.uint8)
        payloads, statuses = decode_pictures([white, page, np.zeros_like(white), damaged])
        assert [payload is not None for payload in payloads] == [False, True, False, False]
        assert statuses.tolist() == [3, 0, 3, 3]

    def test_a_picture_of_another_kind_is_refused(self) -> None:
        for picture in (np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)):
            with pytest.raises(ConfigError, match="uint8"):
                decode_pictures([picture])
        with pytest.raises(TypeError, match="picture"):
            _core.PictureReader(lambda wanted: ["x"], 1).read(np.array([0]))  # type: ignore[list-item]
        with pytest.raises(ConfigError, match="0 pictures came for 1"):
            _core.PictureReader(lambda wanted: [], 1).read(np.array([0]))

    def test_what_the_fetcher_raises_arrives(self) -> None:
        def fetch(wanted: list[int]) -> list[Any]:
            raise KeyError(wanted[0])

        reader = _core.PictureReader(fetch, 3)
        with pytest.raises(KeyError, match="2"):
            reader.read(np.array([2]))
        payloads, statuses = _core.PictureReader(lambda wanted: [None for _ in wanted], 3).read(np.array([2, 2, 1]))
        assert (payloads, statuses.tolist()) == ([None] * 3, [5] * 3)


class TestRefusals:
    def test_an_unknown_codec(self) -> None:
        with pytest.raises(ConfigError, match=r"codec='h265' is not possible: expected one of 'png', 'ffv1'"):
            EncoderConfig(codec="h265")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="h265"):
            check_codec("h265")

    @pytest.mark.parametrize(
        "options",
        [
            {"codec": "h264", "crf": 52},
            {"codec": "av1", "crf": -1},
            {"codec": "mp4v", "crf": 20},
            {"crf": 20},
            {"pixels_per_module": 4},
            {"codec": "h264", "pixels_per_module": 0},
        ],
    )
    def test_options_that_cannot_be(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="is not possible"):
            EncoderConfig(**options)

    def test_a_missing_extra_names_the_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(DependencyError, match=r'pip install "memvid\[video\]"'):
            build(tmp_path, ["text"], codec="h264")
        assert list(tmp_path.iterdir()) == []

    def test_an_opencv_that_does_not_load_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "a.mp4", make_pages(3), codec=need("mp4v"))
        monkeypatch.setitem(sys.modules, "cv2", None)
        with pytest.raises(DependencyError, match="pip install opencv-python-headless"):
            OpenCvSource(str(path))
        with pytest.raises(DependencyError, match="pip install opencv-python-headless"):
            write(tmp_path / "b.mp4", make_pages(3), codec="mp4v")

    def test_a_codec_this_machine_lacks_lists_those_it_has(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(profiles, "_can_write", lambda codec: codec == "ffv1")
        monkeypatch.setattr(profiles, "available_codecs", lambda: ("png", "ffv1"))
        with pytest.raises(ConfigError, match="cannot be written on this machine: it can write png, ffv1"):
            write(tmp_path / "a.mp4", make_pages(1), codec="mp4v")

    @pytest.mark.parametrize("codec_name", ["av1", "vp9", "vp09"])
    def test_a_mov_takes_no_codecs_of_the_web(self, codec_name: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"name it \.mp4 or \.mkv"):
            write(tmp_path / "a.mov", make_pages(1), codec=need(codec_name))

    def test_a_webm_takes_its_own_codecs_only(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"does not go into a \.webm"):
            write(tmp_path / "a.webm", make_pages(1), codec=need("h264"))
        with closing(VideoReader(write(tmp_path / "b.webm", make_pages(2), codec=need("av1")))) as video:
            assert video.codec == "av1"

    @pytest.mark.parametrize("codec_name", ["ffv1", "h264"])
    def test_a_folder_that_is_missing(self, codec_name: str, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="create the folder"):
            write(tmp_path / "none" / "a.mp4", make_pages(1), codec=need(codec_name))

    def test_a_matroska_that_is_none(self, tmp_path: Path, opener: Any) -> None:
        path = tmp_path / "a.mkv"
        path.write_bytes(b"\x1aE\xdf\xa3" + bytes(100))
        with pytest.raises(VideoFormatError, match="cannot be decoded"):
            VideoReader(path)
        with pytest.raises(VideoFormatError, match="cannot be decoded"):
            opener(str(path))

    def test_a_codec_that_nobody_knows(self, tmp_path: Path, opener: Any) -> None:
        path = write(tmp_path / "a.mp4", make_pages(3), codec=need("h264"))
        path.write_bytes(path.read_bytes().replace(b"avc1", b"xyz1"))
        with pytest.raises((VideoFormatError, DependencyError), match=r"cannot (be decoded|decode)"):
            opener(str(path))
        (code,) = {finding.code for finding in verify(path).errors if finding.file == str(path)}
        assert code == "container"

    def test_names_in_another_encoding(self, tmp_path: Path) -> None:
        pages = make_pages(3)
        path = write(tmp_path / "a.mp4", pages, codec=need("h264"))
        path.write_bytes(path.read_bytes().replace(b"VideoHandler", "Vid\xe9oHandler".encode("latin-1")))
        with closing(VideoReader(path)) as video:
            assert video.read(range(3)) == pages

    def test_opencv_that_cannot_decode(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "a.mp4", make_pages(1), codec=need("mp4v"))
        monkeypatch.setattr(sources, "_grey", lambda capture: None)
        monkeypatch.setattr(sources, "find_spec", lambda name: None)
        with pytest.raises(DependencyError, match=r'pip install "memvid\[video\]"'):
            VideoReader(path)

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_no_thread_is_left_with_another_priority(self, codec: str, tmp_path: Path) -> None:
        """SVT-AV1 takes the highest there is for itself and its caller, where it may: as root."""

        def policies() -> set[int]:
            found = set()
            for task in Path("/proc/self/task").iterdir():
                with suppress(ProcessLookupError):
                    found.add(os.sched_getscheduler(int(task.name)))
            return found

        before = policies()
        writer = VideoWriter(tmp_path / "a", EncoderConfig(symbol_version=VERSION, codec=codec), tag=TAG)  # type: ignore[arg-type]
        writer.write(make_pages(3))
        assert policies() == before
        writer.finish()
        assert policies() == before

    def test_an_unfinished_video_leaves_no_litter(self, tmp_path: Path) -> None:
        writer = VideoWriter(tmp_path / "a.mp4", EncoderConfig(codec=need("mp4v")), tag=TAG)  # type: ignore[arg-type]
        del writer
        assert list(tmp_path.iterdir()) == []


def test_reading_our_own_format_imports_no_codec(tmp_path: Path) -> None:
    from tests.test_layers import run_fresh

    video = build(tmp_path, ["a b"])
    script = f"import sys; from tests.memory_support import open_memory; open_memory({str(video)!r}).search('a'); "
    assert run_fresh(script + "print([m for m in ('av', 'cv2') if m in sys.modules])") == "[]\n"
    assert sys.modules["cv2"] is cv2


def without_table(path: Path) -> None:
    """Cut our box off, as a program does that copies what it knows."""
    data = path.read_bytes()
    name, start, _, end = list(boxes(data))[-1]
    assert (name, end) == (b"uuid", len(data))
    path.write_bytes(data[:start])
