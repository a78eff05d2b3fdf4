"""``memvid verify``: whether a memory is sound."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json, format_seconds, heading, one_line, rows
from memvid.cli.progress import ProgressBars

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.maintenance import Finding, VerifyReport
    from memvid.video.parity_reader import GroupMargin

__all__ = ["verify"]

_SHOWN = 40  # findings printed for reading


@click.command()
@options.memory_argument
@options.index_file
@click.option("--deep", is_flag=True, help="Read every frame, twice, and compare every chunk with the index.")
@options.unpacked_bytes
@options.as_json
def verify(*, memory: Path, index_file: Path | None, deep: bool, unpacked_bytes: int | None, as_json: bool) -> int:
    """Say whether a memory is sound.

    Checks the video's tables and all of the index; with --deep also every frame and chunk of MEMORY, and only then it
    says that the memory is sound. The exit code is 0 if nothing is wrong with what was checked, 1 if it is damaged:
    then it says what is wrong, where, and which chunks that costs. Nothing is changed.

    \b
    memvid verify memory.mp4
    memvid verify memory.mp4 --deep
    """
    from memvid import maintenance

    with ProgressBars() as bars:
        report = maintenance.verify(memory, index_file, deep=deep, progress=bars, unpacked_bytes=unpacked_bytes)
    if as_json:
        known = {"ok": report.ok, "lost_chunks": report.lost_chunks, "parity_margin": report.parity_margin}
        emit_json({**known, **asdict(report)})
    else:
        _print(report)
    return 0 if report.ok else 1


def _print(report: VerifyReport) -> None:
    from memvid.page import describe_chunks

    errors = len(report.errors)
    warnings = len(report.findings) - errors
    verdict = f"is damaged: {errors} {'error' if errors == 1 else 'errors'}"
    if report.ok:  # no more than was looked at
        verdict = "is sound" if report.deep else "has a sound structure"
    if warnings:
        verdict += f", {warnings} {'warning' if warnings == 1 else 'warnings'}"
    unread = (
        ""
        if report.deep or not report.frames
        else f"; {counted(report.frames, 'frame')} were not read: --deep reads them"
    )
    emit(heading(f"{report.video_file} {verdict}{unread}"))
    for finding in report.findings[:_SHOWN]:
        emit(_describe(finding))
    if len(report.findings) > _SHOWN:
        emit(f"  and {len(report.findings) - _SHOWN:,} more, which --json lists\n")
    deleted = f", {report.deleted:,} of them deleted" * bool(report.deleted)
    listed = [("video", f"{counted(report.chunks, 'chunk')} in {counted(report.frames, 'frame')}{deleted}")]
    if report.deep:
        corrected = f", {report.frames_corrected:,} of them only by error correction" * bool(report.frames_corrected)
        frames, chunks = counted(report.frames_read, "frame"), counted(report.chunks_read, "chunk")
        listed.append(("read", f"{frames}{corrected}; {chunks} in full"))
    if report.parity_group is not None:
        listed.append(("parity", _describe_group(report.parity_group)))
    if not report.ok:
        listed.append(("unreadable", describe_chunks(report.lost_chunks)))
    listed.append(("time", format_seconds(report.seconds)))
    emit(rows(listed))


def _describe_group(group: GroupMargin) -> str:
    """What the worst group can still lose."""
    which = f"frame {group.first_frame}" + (f" and every {group.every}th behind it" if group.every > 1 else " on")
    lost = f"of {counted(group.frames, 'frame')} and {group.parity:,} parity frames {group.lost:,} are lost"
    if group.margin < 0:
        return f"the group of {which} has lost {-group.margin:,} more than parity brings back: {lost}"
    return f"{group.margin:,} more frames may be lost in the worst group, that of {which}: {lost}"


def _describe(finding: Finding) -> str:
    from memvid.page import describe_chunks

    where = f"{finding.file}" + (f", byte {finding.offset:,}" if finding.offset is not None else "")
    what = "the metadata of " if finding.code == "metadata" else ""
    lost = [("costs", what + describe_chunks(finding.chunks))] if finding.chunks else []
    return rows([(finding.severity, one_line(finding.message)), ("where", where), *lost]) + "\n"
