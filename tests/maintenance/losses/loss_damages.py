"""Random losses: what people and programs do to a video, and what disks do to a file."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvid.storage.mp4_boxes import PAGE_TABLE_UUID, extended_box
from memvid.video import VideoReader
from memvid.video.codecs.containers import open_container
from tests.video.video_support import make_video

__all__ = ["damage", "png_pictures", "read_pictures", "write_packets"]

Order = list[int]
"""Which frame of the video is shown when; -1 for one that is destroyed."""


def damage(video: Path, codec: str, chooser: random.Random) -> tuple[Path, str]:
    """Do a loss or several to a video; where it is then, and what was done."""
    if chooser.random() < 0.15:
        return video, _damage_bytes(video, chooser)
    if chooser.random() < 0.2 and shutil.which("ffmpeg"):
        return video, _damage_by_program(video, chooser)
    order = list(range(len(read_packets(video))))
    names = []
    for change in chooser.choices(_CHANGES, k=chooser.choice((1, 1, 1, 2, 3))):
        order = change(order, chooser) or order
        names.append(change.__name__)
    path, how = _write(video, codec, order, chooser)
    return path, f"{' + '.join(names)}, {how}"


def read_packets(path: Path) -> list[bytes]:
    """What each frame of a video is encoded to."""
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def read_pictures(path: Path) -> list[NDArray[np.uint8]]:
    """All pictures of a video that FFmpeg decodes, grey."""
    import av

    pictures: list[NDArray[np.uint8]] = []
    try:
        with open_container(str(path)) as container:
            for packet in container.demux(video=0):
                with suppress(av.FFmpegError):  # one that is damaged: the decoder goes on
                    pictures += [np.asarray(frame.to_ndarray(format="gray"), np.uint8) for frame in packet.decode()]
    except (av.FFmpegError, IndexError):  # it breaks off, or is no video
        pass
    return pictures


def cut_start(order: Order, chooser: random.Random) -> Order:
    return order[chooser.randint(1, max(1, len(order) // 3)) :]


def cut_end(order: Order, chooser: random.Random) -> Order:
    return order[: -chooser.randint(1, max(1, len(order) // 2))]


def drop(order: Order, chooser: random.Random) -> Order:
    lost = set(chooser.sample(range(len(order)), chooser.randint(1, max(1, len(order) // 4))))
    return [frame for at, frame in enumerate(order) if at not in lost]


def drop_stretch(order: Order, chooser: random.Random) -> Order:
    at = chooser.randrange(len(order))
    return order[:at] + order[at + chooser.randint(1, 6) :]


def double(order: Order, chooser: random.Random) -> Order:
    twice = set(chooser.sample(range(len(order)), chooser.randint(1, len(order))))
    return [frame for at, frame in enumerate(order) for _ in range(1 + (at in twice))]


def shuffle(order: Order, chooser: random.Random) -> Order:
    return chooser.sample(order, len(order))


def swap(order: Order, chooser: random.Random) -> Order:
    one, other = chooser.randrange(len(order)), chooser.randrange(len(order))
    order[one], order[other] = order[other], order[one]
    return order


def spoil(order: Order, chooser: random.Random) -> Order:
    lost = set(chooser.sample(range(len(order)), chooser.randint(1, max(1, len(order) // 5))))
    return [-1 if at in lost else frame for at, frame in enumerate(order)]


def _resample(order: Order, ratio: Fraction) -> Order:
    return [order[int(at / ratio)] for at in range(int(len(order) * ratio))]


def slow_25(order: Order, chooser: random.Random) -> Order:
    return _resample(order, Fraction(25, 30))


def film_24(order: Order, chooser: random.Random) -> Order:
    return _resample(order, Fraction(24, 30))


def film_24_and_back(order: Order, chooser: random.Random) -> Order:
    return _resample(film_24(order, chooser), Fraction(30, 24))


def fast_60(order: Order, chooser: random.Random) -> Order:
    return _resample(order, Fraction(60, 30))


def double_speed(order: Order, chooser: random.Random) -> Order:
    return order[:: chooser.choice((2, 2, 3))]


def nothing(order: Order, chooser: random.Random) -> Order:
    return order


_CHANGES: tuple[Callable[[Order, random.Random], Order], ...] = (
    cut_start, cut_end, drop, drop_stretch, double, shuffle, swap, spoil, slow_25, film_24, film_24_and_back, fast_60,
    double_speed, nothing,
)  # fmt: skip


def _damage_bytes(video: Path, chooser: random.Random) -> str:
    """Cut a file off, or overwrite a stretch of it."""
    data = bytearray(video.read_bytes())
    at = chooser.randrange(len(data) // 20, len(data))
    if chooser.random() < 0.4:
        video.write_bytes(data[:at])
        return f"file cut off at {at}"
    size = min(chooser.choice((1, 200, 4096, 20000)), len(data) - at)
    data[at : at + size] = chooser.randbytes(size)
    video.write_bytes(data)
    return f"{size} bytes overwritten at {at}"


def _damage_by_program(video: Path, chooser: random.Random) -> str:
    """What a person does with ffmpeg; pictures of one pixel a module have to stay as they are."""
    seconds = chooser.randint(1, 12) / 30 + 0.001
    before, behind = chooser.choice(
        (
            (["-ss", f"{seconds}"], []),
            ([], ["-ss", f"{seconds}"]),
            ([], ["-t", f"{seconds}"]),
            (["-ss", f"{seconds}"], ["-c", "copy"]),
            ([], ["-t", f"{seconds}", "-c", "copy"]),
            ([], ["-r", "25"]),
            ([], ["-r", "24"]),
            ([], ["-filter:v", "setpts=0.5*PTS"]),
            ([], ["-c", "copy", "-f", "matroska"]),
        )
    )
    made = video.with_name("made.mp4")
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *before, "-i", str(video), *behind, str(made)], capture_output=True, check=False
    )
    if done.returncode or not made.exists():
        return "ffmpeg refused"
    made.replace(video)
    return f"ffmpeg {' '.join([*before, *behind])}"


def _write(video: Path, codec: str, order: Order, chooser: random.Random) -> tuple[Path, str]:
    """Write the frames again, as they were encoded or encoded anew, into the same container or another one."""
    table = VideoReader(video).table.to_bytes()
    keeps_table = chooser.random() < 0.3
    if not order:
        return video, "nothing"
    if codec == "png" and keeps_table:
        packets = read_packets(video)
        pictures = read_pictures(video)
        frames = [chooser.randbytes(60) if frame < 0 else packets[frame] for frame in order]
        make_video(video, frames, pictures[0].shape[1], pictures[0].shape[0], table=table)
        return video, "page table kept"
    if chooser.random() < 0.5 and codec != "av1":  # whose packets PyAV does not copy: its decoder is no encoder
        suffix = chooser.choice((".mp4", *[".mkv"] * (codec != "png"), *[".ts"] * (codec == "h264")))
        path, how = video.with_suffix(suffix), "packets to"
        write_packets(video, path, order, chooser)
    else:
        suffix = chooser.choice((".mp4", ".mkv", ".avi", ".ts"))
        path, how = video.with_suffix(suffix), "pictures to"
        _encode(video, path, order, chooser)
    if path.suffix == ".mp4" and keeps_table:
        with path.open("ab") as file:
            file.write(extended_box(PAGE_TABLE_UUID, table))
        how = "page table kept, " + how
    return path, f"{how} {suffix}"


def write_packets(video: Path, path: Path, order: Order, chooser: random.Random) -> None:
    """Packets of a video as they are, into another file; -1 is a destroyed one. The first file is gone then."""
    import av

    made = path.with_name(f"made{path.suffix}")
    with av.open(str(video)) as source, av.open(str(made), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        for at, frame in enumerate(order):
            data = packets[max(frame, 0)]
            if frame < 0:
                data = data[:16] + chooser.randbytes(max(len(data) - 32, 16)) + data[-16:]
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 30)
            packet.pts = packet.dts = at
            packet.is_keyframe = True
            with suppress(av.FFmpegError):  # a transport stream takes nothing that is not H.264
                target.mux(packet)
    _replace(video, made, path)


def _encode(video: Path, path: Path, order: Order, chooser: random.Random) -> None:
    import av

    pictures = read_pictures(video)
    height, width = pictures[0].shape
    small = width < 220  # a pixel a module: nothing but what is lossless keeps that
    made = path.with_name(f"made{path.suffix}")
    with av.open(str(made), "w") as target:
        stream: Any = target.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"qp": "0"} if small else {"crf": str(chooser.choice((18, 23, 28)))}
        for frame in order:
            picture = _spoilt(pictures[0], chooser) if frame < 0 else pictures[min(frame, len(pictures) - 1)]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")))
        target.mux(stream.encode())
    _replace(video, made, path)


def _spoilt(picture: NDArray[np.uint8], chooser: random.Random) -> NDArray[np.uint8]:
    """Black, or noise."""
    if chooser.random() < 0.5:
        return np.zeros_like(picture)
    return np.random.default_rng(chooser.randrange(1 << 30)).integers(0, 256, picture.shape, np.uint8)


def _replace(video: Path, made: Path, path: Path) -> None:
    video.unlink()
    made.replace(path)


def png_pictures(data: bytes) -> Iterable[bytes]:
    """Whole pictures that lie anywhere in a file."""
    at = data.find(b"\x89PNG\r\n\x1a\n")
    while at >= 0:
        end = data.find(b"IEND\xaeB`\x82", at)
        if end < 0:
            return
        yield data[at : end + 8]
        at = data.find(b"\x89PNG\r\n\x1a\n", at + 8)
