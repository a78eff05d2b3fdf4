"""What of a memory comes back after others have encoded its video again: measured, not promised."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from memvid.config import EncoderConfig, possible_fps
from memvid.errors import ConfigError, FrameError, MemvidError
from memvid.exchange.ladder import LADDERS, Rung
from memvid.exchange.transcode import transcode
from memvid.page import PageKind, is_page, parse_header, parse_parity_head
from memvid.types import Progress, ProgressCallback, StrPath
from memvid.video import PageStore, VideoReader, VideoWriter
from memvid.video.codecs import open_pictures
from memvid.video.codecs.decoding import read_payloads
from memvid.video.parity import ParityBlock

__all__ = ["RungResult", "SurviveReport", "survive"]


@dataclass(frozen=True, slots=True)
class RungResult:
    """What came back from one way of passing the video on.

    :ivar name: what was done to it.
    :ivar promised: whether the robust profile is to come back from it without loss.
    :ivar frames: frames that went in.
    :ivar lost: frames that did not come back byte for byte.
    :ivar rebuilt: of them, those that parity brings back.
    :ivar video_bytes: size of the file that came out.
    :ivar seconds: wall time.
    :ivar error: why it could not be tried at all, else ``None``.
    """

    name: str
    promised: bool
    frames: int
    lost: int
    rebuilt: int
    video_bytes: int
    seconds: float
    error: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every byte came back, by itself or by parity."""
        return self.lost == self.rebuilt and self.error is None


@dataclass(frozen=True, slots=True)
class SurviveReport:
    """How far down a ladder a memory gets.

    :ivar video_file: the memory's video.
    :ivar codec: what its frames were encoded with before the first rung.
    :ivar width: of the pictures in pixels, as high as wide.
    :ivar frames: frames that were sent.
    :ivar text_bytes: UTF-8 bytes of the texts in them; of a part of the video, its share.
    :ivar video_bytes: size of the video that was sent.
    :ivar rungs: in the order of the ladder.
    """

    video_file: Path
    codec: str
    width: int
    frames: int
    text_bytes: int
    video_bytes: int
    rungs: tuple[RungResult, ...]


def survive(
    video: StrPath,
    *,
    ladder: str = "default",
    frames: int | None = None,
    crf: int | None = None,
    progress: ProgressCallback | None = None,
) -> SurviveReport:
    """Encode a memory's video again, in all the ways of a ladder, and count the frames that come back byte for byte.

    A video in memvid's own format is exported as ``"h264"`` first, the robust profile; any other is sent as it is.
    Everything happens in a temporary folder. Costs 0.1 to 0.5 s a frame for the default ladder.

    :param video: the video.
    :param ladder: ``"default"``, or ``"quick"``: five rungs, a fifth of the time.
    :param frames: only so many frames, from the start, so without the parity at the end; ``None`` sends all of them.
    :param crf: quality of the export; ``None`` takes the codec's own.
    :param progress: called from this thread with the stage ``"rungs"``.
    :raises ConfigError: there is no such ladder, or ``frames`` is below 1.
    :raises DependencyError: PyAV is not installed.
    :raises FrameError: the video itself is damaged.
    """
    if ladder not in LADDERS:
        raise ConfigError(f"ladder={ladder!r} is not possible: expected one of {', '.join(map(repr, LADDERS))}")
    if frames is not None and frames < 1:
        raise ConfigError(f"frames={frames} is not possible: expected at least 1")
    rungs = LADDERS[ladder]
    with (
        tempfile.TemporaryDirectory(prefix="memvid-") as folder,
        closing(VideoReader(video)) as source,
    ):
        base = Path(folder) / "base.mp4"
        payloads = [payload for _, payload in islice(source.read_all(), frames)]
        header = PageStore(source, cache_bytes=0).header
        if source.codec == "png" or len(payloads) < source.frame_count:
            config = EncoderConfig(
                codec="h264",
                crf=crf,
                symbol_version=header.symbol_version,
                error_correction=header.error_correction,  # type: ignore[arg-type]  # checked when it was read
                fps=possible_fps(source.fps),
            )
            writer = VideoWriter(base, config, tag=source.table.tag)
            covers = int(source.table.has_cover)
            for cover in payloads[:covers]:
                writer.write_cover(cover)
            writer.write(payloads[covers:])
            writer.finish()
        else:
            base = Path(video)
        with closing(open_pictures(os.fspath(base))) as pictures:
            codec, width = pictures.codec, pictures.width
        results = []
        for number, rung in enumerate(rungs):
            results.append(_try(rung, base, Path(folder), payloads, width))
            if progress is not None:
                progress(Progress("rungs", number + 1, len(rungs)))
        return SurviveReport(
            video_file=Path(video),
            codec=codec,
            width=width,
            frames=len(payloads),
            text_bytes=header.text_bytes * len(payloads) // source.frame_count,
            video_bytes=base.stat().st_size,
            rungs=tuple(results),
        )


def _try(rung: Rung, base: Path, folder: Path, payloads: list[bytes], side: int) -> RungResult:
    begin = time.perf_counter()
    current = base
    found: set[bytes | None] = set()
    error = None
    size = 0
    try:
        for number, step in enumerate(rung.steps):
            target = folder / f"step-{number}{step.suffix}"
            transcode(current, target, step, side=side)
            current = target
        size = current.stat().st_size
        with closing(open_pictures(os.fspath(current))) as pictures:
            found.update(read_payloads(pictures))
    except MemvidError as failure:
        error = str(failure)
    left = {frame: payload for frame, payload in enumerate(payloads) if payload in found}
    lost = len(payloads) - len(left)
    rebuilt = _rebuild(payloads, left)
    return RungResult(rung.name, rung.promised, len(payloads), lost, rebuilt, size, time.perf_counter() - begin, error)


def _rebuild(payloads: list[bytes], left: dict[int, bytes]) -> int:
    """How many frames parity brings back, counting parity that was lost, where all it protects is there."""
    blocks = {
        ParityBlock.of(parse_parity_head(payload, frame_index=frame), frame)
        for frame, payload in left.items()
        if is_page(payload) and parse_header(payload, frame_index=frame).kind == PageKind.PARITY
    }
    count = 0
    for group in (block.group(number) for block in blocks for number in range(block.groups)):
        frames = [frame for frame in (*group.members, *group.parity) if frame < len(payloads)]
        with suppress(FrameError):
            rebuilt = group.rebuild({frame: left[frame] for frame in frames if frame in left})
            if all(payloads[frame] == payload for frame, payload in rebuilt.items()):
                count += sum(frame not in left for frame in frames)
    return count
