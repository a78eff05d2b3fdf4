"""What header pages and commits say, behind checksums that are right, harms nobody who repairs or lists the memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder
from memvid.cli import main
from memvid.maintenance import reindex, repair, verify
from memvid.page import PageKind
from tests.hostile.forgery import VERSION, Forgery, Page
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

TEXTS = make_texts(6, words=5)
LAST = 1 << 62  # above every id
COMMIT = {"commit": 2, "first_chunk": 6, "added": 0, "deleted": 0, "changed": 0, "chunks": 6}


def forge(folder: Path, header: dict[str, Any], *commits: dict[str, Any]) -> Path:
    folder.mkdir()
    forgery = Forgery(build(folder, TEXTS, symbol_version=VERSION, compression="none", chunks_per_frame=2))
    forgery.set_header({**(forgery.header or {}), **header})
    forgery.pages += [Page(PageKind.COMMIT, 0, 0, 0, json.dumps(commit).encode()) for commit in commits]
    video = folder / "memory.mp4"
    assert forgery.write(video)
    reindex(video, embedder=EMBEDDER)
    return video


FAR = {
    "lost, last": {"lost": [[LAST, LAST]]},
    "lost, far": {"lost": [[1 << 40, (1 << 40) + 5]]},
    "next": {"next_chunk": LAST},
    "no title": {"title": ""},
    "long title": {"title": "t" * 5000},
    "control": {"title": "a\n\x1b[2J"},
}


@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize("said", FAR.values(), ids=FAR)
def test_a_repaired_memory_is_sound_and_grows(tmp_path: Path, said: dict[str, Any], *, index: bool) -> None:
    video = forge(tmp_path / "made", said)
    if not index:
        video.with_name("memory_index.json").unlink()
    new = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER).video_file
    assert verify(new, deep=True).findings == ()
    with open_memory(new) as memory:
        assert [chunk.text for chunk in memory.scan()] == TEXTS
    with MemvidEncoder.open(new, embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["one more"])
        encoder.append()
    assert verify(new, deep=True).findings == ()


@pytest.mark.parametrize("first", [LAST, LAST - 1, 1 << 40])
def test_a_commit_claims_no_ids_that_cannot_be(tmp_path: Path, first: int) -> None:
    video = forge(tmp_path / "made", {}, {**COMMIT, "first_chunk": first, "added": 1, "chunks": 7})
    assert {finding.code for finding in verify(video).findings} == {"log"}
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert result.lost == ()
    assert {finding.code for finding in verify(result.video_file, deep=True).findings} == {"log"}
    with open_memory(result.video_file) as memory:
        assert [chunk.text for chunk in memory.scan()] == TEXTS


def test_words_of_a_commit_are_no_lines_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    false = "\ncommit 9\n  \x1b[2J9 chunks added\u2028commit 8"
    video = forge(tmp_path / "made", {"date": false}, {**COMMIT, "date": false, "message": f"m{false}"})
    assert main(["log", str(video)]) == 0
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out
    assert len(out.splitlines()) == 5
    assert not [line for line in out.splitlines() if line.strip().startswith(("commit 8", "commit 9"))]
