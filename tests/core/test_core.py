"""The native core through Python: codes against independent readers and writers, files, threads, ownership."""

from __future__ import annotations

import copy
import errno
import gc
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import segno
import zxingcpp

from memvid import _core
from memvid.errors import (
    ChunkTooLargeError,
    ClosedError,
    ConfigError,
    OutputError,
    UnsupportedVideoError,
    VideoError,
    VideoFormatError,
    VideoNotFoundError,
)
from memvid.page import page_checksum
from tests.video.video_support import box, make_pages, make_video, movie, png, symbol_picture, write_video

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LEVELS = "LMQH"
SHAPES = [(version, level) for version in (1, 7, 25, 40) for level in LEVELS]


def random_payload(options: _core.SymbolOptions, *, spare: int = 0) -> bytes:
    size = _core.symbol_capacity(options) + spare
    return np.random.default_rng(size).bytes(size)


def segno_symbol(payload: bytes, version: int, level: str, mask: int | None = None) -> NDArray[np.uint8]:
    """One byte segment without an ECI."""
    code = segno.make(payload, version=version, error=level, mode="byte", mask=mask, boost_error=False, micro=False)
    dark = np.array([list(row) for row in code.matrix], np.uint8)
    return ((1 - dark) * 255).astype(np.uint8)


def segno_picture(payload: bytes, version: int, level: str) -> NDArray[np.uint8]:
    return np.pad(segno_symbol(payload, version, level), ((4, 5), (4, 5)), constant_values=255)


def segno_bits(version: int, level: str) -> int:
    """Bits of data in a symbol, by segno's tables."""
    tables: Any = segno.consts.SYMBOL_CAPACITY
    bits: int = tables[version][{"L": 1, "M": 0, "Q": 3, "H": 2}[level]]
    return bits


def frames(*indices: int) -> NDArray[np.int64]:
    return np.array(indices, np.int64)


def run_script(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_the_build_names_its_parts() -> None:
    info = _core.build_info()
    assert set(info) == {"version", "compiler", "zxing_cpp", "libdeflate", "zstd"}
    assert all(info.values())
    assert 1 <= _core.available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_capacity_is_exact(level: str, utf8: bool) -> None:
    for version in range(1, 41):
        options = _core.SymbolOptions(version=version, level=level, utf8=utf8)
        capacity = _core.symbol_capacity(options)
        # What is in front of the bytes: of a text an ECI designator, the mode, the count.
        assert capacity == (segno_bits(version, level) - 12 * utf8 - 4 - (8 if version < 10 else 16)) // 8
        payload = random_payload(options)
        side = 4 * version + 17
        assert _core.create_symbol(payload, options).shape == (side, side)
        with pytest.raises(ChunkTooLargeError, match=f"{capacity + 1} bytes .* version {version}, .* {capacity}"):
            _core.create_symbol(payload + b"x", options)
    assert level != "L" or capacity == (2952 if utf8 else 2953)


@pytest.mark.parametrize("level", LEVELS)
def test_a_page_is_one_byte_segment_and_no_eci(level: str) -> None:
    """Digits, capitals and what could be Kanji, which other writers pack in modes of their own.

    segno is told to make one byte segment. Full symbols: its padding of others is not the standard's.
    """
    contents = [
        b"0123456789",
        b"HTTP://EXAMPLE.ORG/ $%*+-.:",
        "日本語の漢字".encode("shift_jis"),
        b"\x89MV 2026 ABCDEFG",
    ]
    for version in range(1, 41):
        content = contents[version % len(contents)]
        mask = version % 8
        options = _core.SymbolOptions(version=version, level=level, data_mask=mask)
        capacity = _core.symbol_capacity(options)
        payload = (content * (capacity // len(content) + 1))[:capacity]
        assert np.array_equal(_core.create_symbol(payload, options), segno_symbol(payload, version, level, mask))


@pytest.mark.parametrize("level", LEVELS)
def test_symbols_are_those_of_another_writer(level: str) -> None:
    """zxing-cpp's, which can leave the ECI out, but makes one byte segment only of bytes that no other mode has."""
    rng = np.random.default_rng(4)
    for version in range(1, 41):
        mask = version % 8
        options = _core.SymbolOptions(version=version, level=level, data_mask=mask)
        capacity = _core.symbol_capacity(options)
        for size in {1, capacity // 2, capacity - 2, capacity - 1, capacity}:
            payload = (rng.integers(0, 256, size, np.uint8) | 0x80).tobytes()
            other = zxingcpp.create_barcode(
                payload, zxingcpp.BarcodeFormat.QRCode, ec_level=level, version=version, dataMask=mask, eci="0"
            )
            theirs = np.array(zxingcpp.write_barcode_to_image(other, scale=1, add_quiet_zones=False))
            assert np.array_equal(_core.create_symbol(payload, options), theirs)


def test_the_best_mask_is_taken() -> None:
    evaluate_mask: Any = segno.encoder.evaluate_mask
    for version, level in [(1, "H"), (2, "L"), (7, "Q"), (14, "M"), (25, "L")]:
        payload = random_payload(_core.SymbolOptions(version=version, level=level), spare=-1)
        penalties, symbols = [], []
        for mask in range(8):
            symbol = _core.create_symbol(payload, _core.SymbolOptions(version=version, level=level, data_mask=mask))
            dark = [bytearray(row) for row in (symbol == 0).tolist()]
            penalties.append(evaluate_mask(dark, len(dark), len(dark)))
            symbols.append(symbol)
        best = _core.create_symbol(payload, _core.SymbolOptions(version=version, level=level, data_mask=None))
        assert np.array_equal(best, symbols[penalties.index(min(penalties))])


@pytest.mark.parametrize(("version", "level"), SHAPES)
def test_the_zxing_wheel_reads_our_symbols(version: int, level: str) -> None:
    for mask in (0, 3, None):
        options = _core.SymbolOptions(version=version, level=level, data_mask=mask)
        payload = random_payload(options)
        picture = np.pad(_core.create_symbol(payload, options), 4, constant_values=255)
        (code,) = zxingcpp.read_barcodes(picture)
        assert code.bytes == payload
        assert code.ec_level == level
        assert code.format == zxingcpp.BarcodeFormat.QRCode


@pytest.mark.parametrize("text", ["Grüße, 世界 🙂", "HELLO WORLD 0123456789"])
def test_a_bare_text_is_text_to_other_readers(text: str) -> None:
    (code,) = zxingcpp.read_barcodes(symbol_picture(text.encode(), 5, utf8=True))
    assert code.text == text
    assert code.content_type == zxingcpp.ContentType.Text


def test_an_eci_announces_texts_that_are_not_ascii() -> None:
    for version in range(1, 41):
        options = _core.SymbolOptions(version=version, utf8=True)
        capacity = _core.symbol_capacity(options)
        for size in {2, capacity // 2 & -2, capacity - 2 & -2, capacity & -2}:
            text = ("äöüß" * capacity).encode()[:size]
            other = zxingcpp.create_barcode(
                text, zxingcpp.BarcodeFormat.QRCode, ec_level="L", version=version, dataMask=0, eci="26"
            )
            theirs = np.array(zxingcpp.write_barcode_to_image(other, scale=1, add_quiet_zones=False))
            assert np.array_equal(_core.create_symbol(text, options), theirs)
        ascii_text = b"0123456789 ABC" * 210
        assert np.array_equal(
            _core.create_symbol(ascii_text[:capacity], options),
            _core.create_symbol(ascii_text[:capacity], _core.SymbolOptions(version=version)),
        )


@pytest.mark.parametrize("eci", [None, "26", "899"])
@pytest.mark.parametrize("version", [5, 12, 30])
def test_codes_of_old_memories_are_read(eci: str | None, version: int, tmp_path: Path) -> None:
    """With an ECI, 899 for pages and 26 for texts, and digits and capitals in segments of their own."""
    payloads = [
        make_pages(1, size=60)[0],
        b"8675309" * 6 + b" then bytes \xff\x00 ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "Grüße 2026 UND 12345678901234567890 ABCDEFGHIJ".encode(),
    ]
    pictures = []
    for payload in payloads:
        code = zxingcpp.create_barcode(
            payload, zxingcpp.BarcodeFormat.QRCode, version=version, ec_level="L", **({"eci": eci} if eci else {})
        )
        symbol = np.array(zxingcpp.write_barcode_to_image(code, scale=1, add_quiet_zones=False))
        assert not np.array_equal(symbol, _core.create_symbol(payload, _core.SymbolOptions(version=version)))
        pictures.append(np.pad(symbol, ((4, 5), (4, 5)), constant_values=255))
        assert _core.read_symbol(pictures[-1], pure=True) == payload
    make_video(tmp_path / "old.mp4", [png(picture) for picture in pictures], *pictures[0].shape)
    reader = _core.FrameReader(str(tmp_path / "old.mp4"))
    reader.expect(np.array([page_checksum(payload) for payload in payloads], np.uint32))
    assert reader.read(frames(0, 1, 2))[0] == payloads
    assert reader.counters()["fast"] == 3


@pytest.mark.parametrize(("version", "level"), SHAPES)
def test_symbols_of_segno_are_read(version: int, level: str, tmp_path: Path) -> None:
    size = (segno_bits(version, level) - 4 - (8 if version < 10 else 16)) // 8
    payload = np.random.default_rng(size).bytes(size)
    picture = segno_picture(payload, version, level)
    assert _core.read_symbol(picture, pure=True) == payload
    assert _core.read_symbol(np.kron(picture, np.ones((3, 3), np.uint8))) == payload
    video = tmp_path / "segno.mp4"
    make_video(video, [png(picture)], picture.shape[1], picture.shape[0])
    reader = _core.FrameReader(str(video))
    reader.expect(np.array([zlib.crc32(payload)], np.uint32))
    payloads, statuses = reader.read(frames(0))
    assert payloads == [payload]
    assert statuses.tolist() == [0]
    assert reader.counters()["fast"] == 1


def test_segno_texts_in_digits_and_capitals_are_read(tmp_path: Path) -> None:
    texts = ["0123456789", "HELLO WORLD $1.00", "7", "AB"]
    for text, mode in zip(texts, ["numeric", "alphanumeric", "numeric", "alphanumeric"], strict=True):
        code = segno.make(text, version=3, error="L", mode=mode, boost_error=False)
        dark = np.array([list(row) for row in code.matrix], np.uint8)
        picture = np.pad(((1 - dark) * 255).astype(np.uint8), 4, constant_values=255)
        assert _core.read_symbol(picture, pure=True) == text.encode()
        video = tmp_path / "segno.mp4"
        make_video(video, [png(picture)], *picture.shape)
        reader = _core.FrameReader(str(video))
        reader.expect(np.array([zlib.crc32(text.encode())], np.uint32))
        assert reader.read(frames(0))[0] == [text.encode()]
        assert reader.counters()["fast"] == 1


def test_the_detector_reads_what_a_camera_sees() -> None:
    payload = b"turned, noisy and grey"
    picture = np.kron(symbol_picture(payload, 4), np.ones((4, 4), np.uint8))
    noise = np.random.default_rng(1).integers(0, 60, picture.shape)
    camera = np.ascontiguousarray(np.rot90(np.clip(picture * 0.6 + 30 + noise, 0, 255))).astype(np.uint8)
    assert _core.read_symbol(camera) == payload
    assert _core.read_symbol(np.ascontiguousarray(255 - picture)) == payload
    assert _core.read_symbol(np.full((100, 100), 255, np.uint8)) is None
    assert _core.read_symbol(np.zeros((1, 1), np.uint8), pure=True) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 0},
        {"version": 41},
        {"version": -(2**31)},
        {"data_mask": 8},
        {"data_mask": -2},
        {"level": "X"},
        {"level": ""},
        {"level": "LL"},
    ],
)
def test_impossible_symbol_options_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _core.create_symbol(b"x", _core.SymbolOptions(**wrong))
    with pytest.raises(ConfigError):
        _core.FrameWriter(str(tmp_path / "a.mp4"), _core.SymbolOptions(**wrong))
    assert not (tmp_path / "a.mp4").exists()


def test_wrong_arguments_are_typed_errors(tmp_path: Path) -> None:
    options = _core.SymbolOptions(version=5)
    with pytest.raises(ConfigError, match="no bytes"):
        _core.create_symbol(b"", options)
    with pytest.raises(TypeError):
        _core.create_symbol("text", options)  # type: ignore[arg-type]
    for shape in [(10,), (0, 10), (10, 0), (2, 2, 2), (1, 40000), (40000, 1)]:
        with pytest.raises(ConfigError, match="picture"):
            _core.read_symbol(np.zeros(shape, np.uint8))
    for picture in [np.zeros((10, 10)), np.zeros((10, 20), np.uint8)[:, ::2], "text", None]:
        with pytest.raises(TypeError):
            _core.read_symbol(picture)  # type: ignore[arg-type]
    for fps in (0, -1, 1001):
        with pytest.raises(ConfigError, match="frames a second"):
            _core.FrameWriter(str(tmp_path / "a.mp4"), options, fps=fps)
    with pytest.raises(TypeError):
        _core.FrameWriter(str(tmp_path / "a.mp4"), options, threads=-1)
    writer = _core.FrameWriter(str(tmp_path / "a.mp4"), options)
    for payloads in [["text"], [b"x", None], [bytearray(b"x")], b"x", None]:
        with pytest.raises(TypeError):
            writer.write(payloads)  # type: ignore[arg-type]
    assert writer.frames == 0


def test_objects_cannot_be_subclassed_copied_or_pickled(tmp_path: Path) -> None:
    options = _core.SymbolOptions(version=5)
    write_video(tmp_path / "a.mp4", make_pages(1))
    made = [options, _core.FrameReader(tmp_path / "a.mp4"), _core.FrameWriter(tmp_path / "b.mp4", options)]
    for thing in made:
        with pytest.raises(TypeError):
            type("Derived", (type(thing),), {})
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                call(thing)


def test_the_same_payloads_make_the_same_bytes(tmp_path: Path) -> None:
    pages = make_pages(30)
    made = []
    for threads in (1, 3):
        path = tmp_path / f"{threads}.mp4"
        writer = _core.FrameWriter(str(path), _core.SymbolOptions(version=5), threads=threads)
        for start in range(0, 30, 10 * threads):
            writer.write(pages[start : start + 10 * threads])
        writer.finish(b"table")
        assert writer.frames == 30
        assert writer.bytes == path.stat().st_size
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_a_finished_writer_is_closed(tmp_path: Path) -> None:
    writer = _core.FrameWriter(str(tmp_path / "a.mp4"), _core.SymbolOptions(version=5))
    writer.write(make_pages(1))
    writer.finish(b"")
    with pytest.raises(ClosedError):
        writer.write(make_pages(1))
    with pytest.raises(ClosedError):
        writer.finish(b"")


def test_a_payload_that_does_not_fit_leaves_the_batch_out(tmp_path: Path) -> None:
    options = _core.SymbolOptions(version=5)
    writer = _core.FrameWriter(str(tmp_path / "a.mp4"), options)
    for bad, error in ((random_payload(options, spare=2), ChunkTooLargeError), (b"", ConfigError)):
        with pytest.raises(error):
            writer.write([*make_pages(5), bad])
    assert writer.frames == 0


def test_writing_fails_with_the_systems_reason(tmp_path: Path) -> None:
    options = _core.SymbolOptions(version=5)
    with pytest.raises(OutputError) as missing:
        _core.FrameWriter(str(tmp_path / "no" / "a.mp4"), options)
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(OutputError) as folder:
        _core.FrameWriter(str(tmp_path), options)
    assert folder.value.errno == errno.EISDIR


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE as Linux has it")
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    import resource

    writer = _core.FrameWriter(str(tmp_path / "a.mp4"), _core.SymbolOptions(version=5))
    writer.write(make_pages(3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OutputError) as full:
            writer.finish(b"table")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.errno == errno.EFBIG
    with pytest.raises(OutputError, match="failed before"):
        writer.write(make_pages(1))
    with pytest.raises(OutputError, match="failed before"):
        writer.finish(b"")


def test_what_is_no_video_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError) as missing:
        _core.FrameReader(str(tmp_path / "a.mp4"))
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(VideoError):
        _core.FrameReader(str(tmp_path))
    path = tmp_path / "a.mp4"
    for content in (b"", b"\0" * 100, b"%PDF-1.7", os.urandom(1000).replace(b"ftyp", b""), b"\0\0\0\x08ftyp"):
        path.write_bytes(content)
        with pytest.raises(VideoFormatError):
            _core.FrameReader(str(path))
    path.write_bytes(b"\0\0\0\x08ftyp\0\0\0\x08moof")
    with pytest.raises(UnsupportedVideoError):
        _core.FrameReader(str(path))


def test_paths_may_be_any_bytes(tmp_path: Path) -> None:
    for name in ("näme \N{SNOWMAN}.mp4", os.fsdecode(b"\xff\xfe.mp4")):
        path = tmp_path / name
        with pytest.raises(VideoNotFoundError) as missing:
            _core.FrameReader(path)
        assert str(path) in str(missing.value)
        write_video(path, make_pages(2))
        for form in (path, str(path), os.fsencode(path)):
            assert _core.FrameReader(form).frame_count == 2
    (tmp_path / "a").write_bytes(b"precious")
    for nul in (str(tmp_path / "a\0.mp4"), os.fsencode(tmp_path / "a") + b"\0"):
        with pytest.raises((TypeError, ValueError)):
            _core.FrameReader(nul)
        with pytest.raises((TypeError, ValueError)):
            _core.FrameWriter(nul, _core.SymbolOptions(version=5))
    assert (tmp_path / "a").read_bytes() == b"precious"


def test_frames_come_back_in_the_callers_order(tmp_path: Path) -> None:
    pages = make_pages(20)
    write_video(tmp_path / "a.mp4", pages)
    reader = _core.FrameReader(str(tmp_path / "a.mp4"))
    wanted = [7, 0, 7, 19, 3, 7]
    payloads, statuses = reader.read(frames(*wanted))
    assert payloads == [pages[i] for i in wanted]
    assert statuses.dtype == np.uint8
    assert not statuses.any()
    assert reader.counters()["frames"] == 4  # each distinct frame once
    payloads, statuses = reader.read(frames())
    assert payloads == []
    assert statuses.shape == (0,)
    for bad in (-1, 20, 2**62, -(2**63)):
        with pytest.raises(ConfigError, match=str(bad)):
            reader.read(frames(0, bad))
        with pytest.raises(ConfigError):
            reader.read_pixels(bad)
    for wrong in ([0], np.array([0], np.int32), np.array([0.0]), np.arange(6, dtype=np.int64)[::2]):
        with pytest.raises(TypeError):
            reader.read(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        reader.expect(np.zeros(19, np.uint32))


def test_a_huge_picture_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    side = 20000
    bomb = png(np.full((8, 8), 255, np.uint8))
    make_video(tmp_path / "a.mp4", [bomb], side, side)
    reader = _core.FrameReader(str(tmp_path / "a.mp4"))
    with pytest.raises(VideoFormatError, match="impossible size"):
        reader.read(frames(0))
    with pytest.raises(VideoFormatError):
        reader.read_pixels(0)


def test_a_writers_batch_lets_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the switch interval at its largest, another thread runs only when the GIL is given up on purpose."""
    ticks = 0
    stop = False

    def tick() -> None:
        nonlocal ticks
        while not stop:
            ticks += 1
            time.sleep(0)

    pages = make_pages(200, size=800)
    writer = _core.FrameWriter(str(tmp_path / "a.mp4"), _core.SymbolOptions(version=20), threads=1)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    thread = threading.Thread(target=tick)
    try:
        thread.start()
        while not ticks:
            time.sleep(0)
        before = ticks
        writer.write(pages)
        after_write = ticks
        writer.finish(b"")
        reader = _core.FrameReader(str(tmp_path / "a.mp4"), threads=1)
        before_read = ticks
        payloads, _ = reader.read(np.arange(200), corrected=True)
        after_read = ticks
    finally:
        stop = True
        sys.setswitchinterval(interval)
        thread.join()
    assert payloads == pages
    assert after_write > before
    assert after_read > before_read


INTERRUPTED = """
    import sys, threading, time
    import numpy as np
    from memvid import _core

    reader = _core.FrameReader(sys.argv[1], threads=int(sys.argv[2]))

    def announce():
        while reader.counters()["frames"] == 0:
            time.sleep(0.001)
        print("reading", flush=True)

    threading.Thread(target=announce, daemon=True).start()
    try:
        reader.read(np.arange(reader.frame_count))
    except KeyboardInterrupt:
        read = reader.counters()["frames"]
        payloads, statuses = reader.read(np.array([0]))
        print("interrupted" if read < reader.frame_count and statuses.tolist() == [3] else "wrong", flush=True)
        del reader  # joins the workers: none may wait for the GIL
    else:
        print("finished", flush=True)
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_ctrl_c_ends_a_native_batch(threads: int, tmp_path: Path) -> None:
    # A hundred thousand frames, all of them the same few bytes of noise: minutes for the detector, no disk.
    noise = np.random.default_rng(1).integers(0, 2, (186, 186)).astype(np.uint8)
    frame = png(noise)
    make_repeated(tmp_path / "a.mp4", frame, 100_000)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), str(tmp_path / "a.mp4"), str(threads)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "reading\n"
            process.send_signal(2)
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert output == "interrupted\n"
    assert process.returncode == 0


def make_repeated(path: Path, frame: bytes, count: int) -> None:
    head = box(b"ftyp", b"isom", bytes(4)) + struct.pack(">I4s", 8 + len(frame) * count, b"mdat")
    with path.open("wb") as file:
        file.write(head + frame)
        file.seek(len(head) + len(frame) * count)  # the file is as large as its frames are together, but for the disk
        file.write(movie(186, 186, [len(frame)] * count, [len(head)] * count, None))


def test_many_threads_share_a_reader(tmp_path: Path) -> None:
    pages = make_pages(64, size=200)
    write_video(tmp_path / "a.mp4", pages, version=10)
    reader = _core.FrameReader(str(tmp_path / "a.mp4"), threads=3)
    wrong: list[object] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for round_number in range(30):
                wanted = rng.integers(0, 64, 20)
                payloads, _ = reader.read(wanted, corrected=round_number % 5 == 0)
                if payloads != [pages[i] for i in wanted]:
                    wrong.append(wanted)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_indices_that_change_during_a_read_do_no_harm(tmp_path: Path) -> None:
    pages = make_pages(50)
    write_video(tmp_path / "a.mp4", pages)
    reader = _core.FrameReader(str(tmp_path / "a.mp4"))
    wanted = np.zeros(50, np.int64)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            wanted[:] = 2**40
            wanted[:] = np.arange(50)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            try:
                payloads, _ = reader.read(wanted)
            except ConfigError:
                continue
            assert all(payload in pages for payload in payloads)
    finally:
        stop.set()
        thread.join()


def test_a_reader_survives_a_fork(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", make_pages(30))
    script = """
        import os, sys
        import numpy as np
        from memvid import _core

        reader = _core.FrameReader(sys.argv[1], threads=4)
        frames = np.arange(reader.frame_count)
        expected, _ = reader.read(frames)
        child = os.fork()
        if child == 0:
            payloads, statuses = reader.read(frames)
            same = payloads == expected and not statuses.any()
            del reader
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert reader.read(frames)[0] == expected
    """
    result = run_script(script, tmp_path / "a.mp4")
    assert result.returncode == 0, result.stderr


def test_nothing_leaks(tmp_path: Path) -> None:
    pages = make_pages(20)
    write_video(tmp_path / "a.mp4", pages)
    reader = _core.FrameReader(str(tmp_path / "a.mp4"))
    options = _core.SymbolOptions(version=5)
    wanted, too_large = np.arange(20), b"x" * 1000
    before = [sys.getrefcount(item) for item in (*pages, wanted, too_large, options)]

    def use() -> None:
        writer = _core.FrameWriter(tmp_path / "b.mp4", options)
        writer.write(pages)
        for bad in (too_large, None):
            with pytest.raises((ChunkTooLargeError, TypeError)):
                writer.write([*pages, bad])  # type: ignore[list-item]
        writer.finish(b"table")
        reader.read(wanted)
        reader.read_pixels(0)
        with pytest.raises(ConfigError):
            reader.read(wanted + 1)
        with pytest.raises(VideoNotFoundError):
            _core.FrameReader(tmp_path / "c.mp4")

    for _ in range(3):
        use()
    gc.collect()
    tracemalloc.start()
    try:
        use()
        gc.collect()
        start, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            use()
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert end - start < 20_000  # a payload lost in each round would be more
    assert [sys.getrefcount(item) for item in (*pages, wanted, too_large, options)] == before


def test_payloads_live_as_long_as_they_are_drawn(tmp_path: Path) -> None:
    """The list may lose its payloads while the native code reads them."""
    payloads = make_pages(300, size=800)
    expected = list(make_pages(300, size=800))
    writer = _core.FrameWriter(tmp_path / "a.mp4", _core.SymbolOptions(version=20), threads=2)
    thread = threading.Thread(target=writer.write, args=(payloads,))
    thread.start()
    payloads.clear()
    gc.collect()
    thread.join()
    writer.finish(b"")
    if writer.frames:  # else the list was emptied before the call looked at it
        assert _core.FrameReader(tmp_path / "a.mp4").read(np.arange(300))[0] == expected


def test_the_stub_tells_the_truth(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed.txt"  # the metaclass of pybind11; methods and properties are still compared
    options = tmp_path / "mypy.ini"  # the stub alone: what others import is not compared, and takes long to read
    options.write_text("[mypy]\nfollow_imports = skip\n")
    classes = (
        *("ChunkReader", "FrameReader", "FrameSource", "FrameSource.__init__", "FrameWriter", "HnswGraph"),
        *("DetectionBudget", "PictureReader", "SymbolOptions", "GraphBuilder"),
        *("CandidateSearch", "FieldIndex", "PostingsWriter", "WordIndex"),
    )
    allowed.write_text("".join(f"memvid._core.{name}\n" for name in classes))
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mypy.stubtest", "memvid._core"),
            *("--allowlist", str(allowed), "--mypy-config-file", str(options)),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "MYPYPATH": os.pathsep.join(p for p in sys.path if p.endswith("src"))},
    )
    assert result.returncode == 0, result.stdout + result.stderr
