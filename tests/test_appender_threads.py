"""Eight threads read a memory while another process appends to it, deletes from it and compacts it.

``MEMVID_SOAK_ROUNDS=2000`` goes on for minutes.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

from memvid.maintenance import verify
from tests.index.index_support import environment
from tests.memory_support import build, open_memory

ROUNDS = int(os.environ.get("MEMVID_SOAK_ROUNDS", "24"))
BUILT = 160
THREADS = 8

WRITER = """
import sys
from memvid import MemvidEncoder
from memvid.maintenance import compact
from tests.test_appender_threads import plan, text_of
for number, (added, deleted, compacts) in enumerate(plan()):
    with MemvidEncoder.open(sys.argv[1]) as memory:
        memory.add_chunks([text_of(chunk_id) for chunk_id in added])
        memory.delete(deleted)
        result = memory.append()
        assert (result.first_chunk, result.deleted) == (added[0], len(deleted))
    if compacts:
        compact(sys.argv[1])
"""


def text_of(chunk_id: int) -> str:
    """The text a chunk must have."""
    words = hashlib.sha256(str(chunk_id).encode()).hexdigest()
    return f"Chunk {chunk_id} says {' '.join(words[at : at + 5] for at in range(0, 60, 5))}."


def plan() -> list[tuple[list[int], list[int], bool]]:
    """What each round adds, deletes, and whether it compacts."""
    rng = random.Random(7)
    alive = list(range(BUILT))
    end = BUILT
    rounds = []
    for number in range(ROUNDS):
        added = list(range(end, end + rng.randrange(1, 6)))
        deleted = rng.sample(alive, rng.randrange(0, 4))
        end += len(added)
        alive = [chunk_id for chunk_id in alive if chunk_id not in deleted] + added
        rounds.append((added, deleted, number % 6 == 5))
    return rounds


def states() -> list[list[int]]:
    """The chunks there are after each round."""
    found = [list(range(BUILT))]
    for added, deleted, _ in plan():
        found.append([chunk_id for chunk_id in found[-1] if chunk_id not in deleted] + added)
    return found


class Reader:
    """One thread: opens the memory again and again, and checks all that it sees.

    :ivar opened: how often it has opened it.
    """

    def __init__(self, video: Path, ended: threading.Event, seed: int) -> None:
        self.video = video
        self.ended = ended
        self.rng = random.Random(seed)
        self.places = {tuple(state): number for number, state in enumerate(states())}
        self.opened = 0
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            last = 0
            while True:
                over = self.ended.is_set()
                last = self.look(last)
                if over:
                    assert last == len(self.places) - 1
                    return
        except BaseException as error:
            self.error = error

    def look(self, last: int) -> int:
        """A memory as it was at the moment of opening, whatever becomes of its files; which state that was."""
        with open_memory(self.video) as memory:
            self.opened += 1
            ids = memory.chunk_ids()
            state = self.places[tuple(ids)]
            assert state >= last
            for _ in range(4):
                wanted = self.rng.sample(ids, 12)
                assert [chunk.text for chunk in memory.get_chunks_by_id(wanted)] == [text_of(each) for each in wanted]
                assert memory.search(text_of(wanted[0]), 1) == [text_of(wanted[0])]
            assert len(memory) == len(ids)
            return state


def test_eight_readers_and_a_writer(tmp_path: Path) -> None:
    video = build(tmp_path, [text_of(chunk_id) for chunk_id in range(BUILT)], symbol_version=12)
    ended = threading.Event()
    with open_memory(video) as first:
        readers = [Reader(video, ended, seed) for seed in range(THREADS)]
        for reader in readers:
            reader.thread.start()
        writer = subprocess.run(
            [sys.executable, "-c", WRITER, str(video)], env=environment(), capture_output=True, text=True, check=False
        )
        ended.set()
        for reader in readers:
            reader.thread.join()
        assert (writer.returncode, writer.stderr) == (0, "")
        for reader in readers:
            if reader.error is not None:
                raise reader.error
        assert sum(reader.opened for reader in readers) > THREADS
        # The snapshot that was opened before all of it.
        assert [chunk.text for chunk in first.get_chunks_by_id(range(BUILT))] == [text_of(n) for n in range(BUILT)]
        assert first.search(text_of(5), 1) == [text_of(5)]
    assert verify(video, deep=True).findings == ()
