"""Of a page that is whole, what of its chunks can be used: texts that are UTF-8, metadata that is JSON."""

from __future__ import annotations

from memvid.errors import ChunkTooLargeError, FrameError
from memvid.maintenance.repair.page_runs import ChunkRun
from memvid.maintenance.verify.findings import Findings
from memvid.page import ChangedMetadata, ChunkIds, Record, RecordPage, check_record, describe_chunks, read_metadata

__all__ = ["usable_changes", "usable_chunks"]


def usable_chunks(
    page: RecordPage, first_chunk: int, number: int, path: object, findings: Findings
) -> tuple[ChunkRun, ...] | None:
    """The chunks in runs of ids, without what cannot be used, which goes to ``findings``; ``None`` if all of it can.

    One text that is none, or one metadata, is no reason to give up all others of its page.

    :param number: of the page.
    """
    unreadable: dict[int, str] = {}
    faults: dict[int, str] = {}
    runs: list[ChunkRun] = []
    for slot in range(len(page)):
        chunk_id, metadata = first_chunk + slot, page.metadata_bytes(slot)
        fault = read_metadata(metadata).fault
        if fault is not None:
            faults[chunk_id], metadata = fault, b""
        record = Record(page.text_bytes(slot), metadata)
        try:
            page.check_text(slot)
            check_record(record, chunk_id)
        except (FrameError, ChunkTooLargeError) as error:
            unreadable[chunk_id] = str(error)
            continue
        if not runs or runs[-1].stop != chunk_id:
            runs.append(ChunkRun(chunk_id, []))
        runs[-1].records.append(record)
    if unreadable:
        findings.error(
            "page", f"page {number}: {next(iter(unreadable.values()))}: it is left out", path, frame=number,
            chunks=ChunkIds.of(unreadable).ranges,
        )  # fmt: skip
    if faults:
        findings.error(
            "metadata",
            f"page {number}: the metadata of {describe_chunks(ChunkIds.of(faults).ranges)} cannot be used: "
            f"{next(iter(faults.values()))}; it is left out, the texts are not",
            path, frame=number, chunks=ChunkIds.of(faults).ranges,
        )  # fmt: skip
    return tuple(runs) if unreadable or faults else None


def usable_changes(
    changed: ChangedMetadata, number: int, path: object, findings: Findings
) -> tuple[ChunkRun, ...] | None:
    """Changed metadata without what cannot be used, which goes to ``findings``; ``None`` if all of it can.

    :param number: of the page.
    """
    faults: dict[int, str] = {}
    for chunk_id, metadata in changed.items():
        fault = read_metadata(metadata).fault if metadata else None
        if fault is not None:
            faults[chunk_id] = fault
    if not faults:
        return None
    findings.error(
        "metadata",
        f"page {number}: the changed metadata of {describe_chunks(ChunkIds.of(faults).ranges)} cannot be used: "
        f"{next(iter(faults.values()))}; it is left out, the texts are not",
        path, frame=number, chunks=ChunkIds.of(faults).ranges,
    )  # fmt: skip
    usable = ((chunk_id, b"" if chunk_id in faults else metadata) for chunk_id, metadata in changed.items())
    return tuple(ChunkRun(chunk_id, [Record(b"", metadata)]) for chunk_id, metadata in usable)
