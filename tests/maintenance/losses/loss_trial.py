"""One random loss, and whether memvid makes of it what can be made."""

from __future__ import annotations

import random
import re
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from memvid.errors import MemvidError
from memvid.maintenance import RepairResult, reindex, repair, verify
from memvid.page import ChunkRanges
from memvid.video import VideoReader
from tests.maintenance.losses.loss_damages import damage
from tests.maintenance.losses.loss_memories import BUILT, Memory, copy_memory
from tests.maintenance.losses.loss_oracle import Readable, look
from tests.memory_support import EMBEDDER, open_memory

__all__ = ["Trial", "try_loss"]


@dataclass(slots=True)
class Trial:
    """What came of a loss.

    :ivar what: the loss.
    :ivar chunks: chunks of the memory.
    :ivar readable: of them, those that a second implementation reads.
    :ivar repaired: of them, those that a repair brings back.
    :ivar problems: what was not as it should be.
    """

    what: str
    chunks: int
    readable: int
    repaired: int
    problems: list[str]


def try_loss(memory: Memory, folder: Path, seed: int) -> Trial:
    """Damage a copy of a memory in ``folder``, which is emptied before, and see what memvid makes of it."""
    shutil.rmtree(folder, ignore_errors=True)
    chooser = random.Random(seed)
    video = copy_memory(memory, folder / "damaged")
    index = video.with_name("memory_index.json")
    video, what = damage(video, memory.codec, chooser)
    indexed = chooser.random() < 0.6
    if not indexed:
        for path in index.parent.glob("memory_index*"):
            path.unlink()
    found = look(video, memory.tag)
    readable = _readable(memory, found)
    trial = Trial(f"{what}{'' if indexed else ', no index'}", len(memory.texts), len(readable), 0, [])
    try:
        whole = verify(video, index, deep=True).ok
        if whole and len(readable) < len(memory.texts):
            trial.problems.append(f"verify says sound, and {len(memory.texts) - len(readable)} chunks are missing")
        _try_repair(memory, found, readable, video, folder, trial, knows=indexed or found.header)
        _try_reindex(memory, video, index, trial)
    except Exception as error:  # whatever it is, it should have been one of ours, and not here
        trial.problems.append(f"{type(error).__name__}: {error}")
    return trial


def _readable(memory: Memory, found: Readable) -> set[int]:
    """Chunks of the memory whose text can be read."""
    if memory.is_bare:
        bare = set(found.bare)
        return {chunk for chunk, text in memory.texts.items() if text in bare}
    return {chunk for chunk in memory.texts if found.texts.get(chunk) == memory.texts[chunk]}


def _try_repair(
    memory: Memory, found: Readable, readable: set[int], video: Path, folder: Path, trial: Trial, *, knows: bool
) -> None:
    output = folder / "repaired" / "memory.mp4"
    try:
        result = repair(video, output, index=video.with_name("memory_index.json"), embedder=EMBEDDER)
    except MemvidError as error:
        if readable:
            trial.problems.append(f"repair refuses, {len(readable)} chunks can be read: {error}")
        return
    with open_memory(output) as opened:
        chunks = {chunk.chunk_id: chunk.text for chunk in opened.get_chunks_by_id(opened.chunk_ids())}
    anew = set() if "no index" not in trial.what else _numbered_anew(result)  # nobody knows what was appended
    own = {chunk for chunk in chunks if chunk in memory.texts} - anew
    wrong = [chunk for chunk in own if chunks[chunk] != memory.texts[chunk]]
    # Of bare texts in another order nothing but an index, or the page table, says which is which.
    ordered = not any(name in trial.what for name in ("shuffle", "swap")) or "no index" not in trial.what
    if wrong and ((knows and ordered) or not memory.is_bare):
        trial.problems.append(f"repair gives other texts under {wrong[:8]}")
    texts = set(chunks.values())
    if memory.deleted & set(chunks) and found.header and "no index" not in trial.what:
        trial.problems.append(f"deleted chunks are there again: {sorted(memory.deleted & set(chunks))}")
    back = {chunk for chunk in memory.texts if memory.texts[chunk] in texts}
    trial.repaired = len(back)
    if (lacking := readable - back) and (ordered or not memory.is_bare):  # a swapped one may count as deleted
        trial.problems.append(f"repair lacks {len(lacking)} chunks that can be read: {sorted(lacking)[:8]}")
    strange = texts - set(memory.texts.values()) - {""}
    if strange and not memory.deleted:
        trial.problems.append(f"repair gives {len(strange)} texts that nobody stored")
    unnamed = set(memory.texts) - back - _ids(result.lost)
    if "no index" in trial.what:  # of what was appended, only its commit says that it was there
        unnamed &= set(range(BUILT))
    if unnamed and knows and (ordered or not memory.is_bare):
        trial.problems.append(f"repair does not name {len(unnamed)} lost chunks: {sorted(unnamed)[:8]}")
    other = memory.is_bare and own != set(chunks)  # under new ids, so the old ones are missing
    missing = set(memory.texts) - back
    told = missing if "no index" not in trial.what else missing & set(range(BUILT))
    sound = verify(output, deep=True).ok
    if knows and ordered and not other and (told if sound else not missing):
        trial.problems.append(f"verify of the repaired one is {sound}, {len(back)} are back")


def _numbered_anew(result: RepairResult) -> set[int]:
    """The ids that bare texts got of which nothing said the old ones."""
    told = [re.search(r"they come back as .*?(\d+)(?:-(\d+))?$", finding.message) for finding in result.findings]
    return {chunk for ids in told if ids for chunk in range(int(ids[1]), int(ids[2] or ids[1]) + 1)}


def _try_reindex(memory: Memory, video: Path, index: Path, trial: Trial) -> None:
    shown = look(video, memory.tag, loose=False)
    wanted = set() if memory.is_bare else _readable(memory, shown)  # which text is which nothing may say
    try:
        result = reindex(video, index, embedder=EMBEDDER)
    except MemvidError as error:
        if wanted and not _is_unfit(video, memory.digest):
            trial.problems.append(f"reindex refuses, {len(wanted)} chunks can be read: {error}")
        return
    with open_memory(video, index) as opened:
        found = {chunk.chunk_id: chunk.text for chunk in opened.scan()}
        got = {chunk.chunk_id: chunk.text for chunk in opened.get_chunks_by_id(opened.chunk_ids())}
        for chunk, text in list(got.items())[:3]:
            if text not in opened.search(text, 3):
                trial.problems.append(f"chunk {chunk} is not found by its text")
    # Of bare texts that were swapped nothing but an index, or the page table, says which is which.
    swapped = any(name in trial.what for name in ("shuffle", "swap"))
    certain = not memory.is_bare or not swapped or "no index" not in trial.what
    wrong = [chunk for chunk, text in got.items() if text != memory.texts.get(chunk) and chunk not in memory.deleted]
    if found != got or len(got) != result.chunks or (wrong and certain):
        trial.problems.append(f"what reindex has is not what was stored: {wrong[:8]}")
    if lacking := wanted - set(got):
        trial.problems.append(f"reindex lacks {len(lacking)} chunks that can be read: {sorted(lacking)[:8]}")
    again = memory.deleted & set(got)
    if again and result.whole:
        trial.problems.append(f"reindex says nothing of deleted chunks that are there again: {sorted(again)}")
    lost = set(memory.texts) - set(got)
    if lost and (result.whole or verify(video, index, deep=True).ok or verify(video, index).ok):
        trial.problems.append(f"reindex or verify says sound, {len(lost)} chunks are missing")
    unnamed = lost - _ids(result.missing)
    if "no index" in trial.what:  # of what was appended, only its commit says that it was there
        unnamed &= set(range(BUILT)) if shown.header else set()
    if unnamed:
        trial.problems.append(f"reindex does not name {len(unnamed)} lost chunks: {sorted(unnamed)[:8]}")


def _is_unfit(video: Path, digest: str) -> bool:
    """Whether an index of a video is of no use: it has no movie header to open it by, or its page table is wrong."""
    try:
        with closing(VideoReader(video)) as reader:
            return reader.has_table and reader.table.digest != digest
    except MemvidError:
        return True


def _ids(ranges: ChunkRanges) -> set[int]:
    return {chunk for first, last in ranges for chunk in range(first, last + 1)}
