"""Whatever is lost of a video: all that can be read comes back, and nobody says that the rest is there.

`python -m tools.random_losses` tries many more of these, in every codec.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.maintenance.losses.loss_memories import KINDS, Memory, make_memory
from tests.maintenance.losses.loss_oracle import look
from tests.maintenance.losses.loss_trial import try_loss

pytest.importorskip("av")
pytest.importorskip("zxingcpp")


@pytest.fixture(scope="module", params=[*KINDS])
def memory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Memory:
    """A sound memory of each kind."""
    if request.param == "parity":
        pytest.importorskip("zfec")
    codec = "h264" if request.param in ("plain", "bare", "covered") else "png"
    return make_memory(tmp_path_factory.mktemp("losses") / "memory", request.param, codec)


@pytest.mark.parametrize("seed", range(6))
def test_what_can_be_read_comes_back_and_the_rest_is_named(memory: Memory, tmp_path: Path, seed: int) -> None:
    trial = try_loss(memory, tmp_path / "trial", seed)
    assert trial.problems == [], trial.what


def test_the_oracle_reads_all_of_a_sound_memory(memory: Memory) -> None:
    found = look(memory.video, memory.tag)
    assert found.header
    if memory.is_bare:
        assert set(memory.texts.values()) <= set(found.bare)
    else:
        assert {chunk: found.texts[chunk] for chunk in memory.texts} == memory.texts


def test_of_a_damaged_picture_nothing_is_made_up(tmp_path: Path, session_cache: None) -> None:
    trial = try_loss(make_memory(tmp_path / "memory", "dictionary", "h264"), tmp_path / "trial", 183)
    assert trial.problems == [], trial.what
