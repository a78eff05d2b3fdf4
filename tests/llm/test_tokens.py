"""Token counters, and the bounds they promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from memvid.errors import ConfigError
from memvid.llm import resolve_counter
from memvid.llm.tokens import BytesCounter, SafeCounter
from tests.repository import ROOT

SHIPPED = ROOT / "src" / "memvid" / "models" / "all-MiniLM-L6-v2" / "tokenizer.json"


@pytest.fixture(scope="module")
def byte_level() -> Tokenizer:
    """A byte-level BPE like those of GPT, Llama 3, Qwen and SmolLM, with a small vocabulary of its own."""
    from pydoc_data.topics import topics

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(topics.values(), trainer)
    return tokenizer


@given(text=st.text())
def test_bytes_bound_every_byte_level_tokenizer(byte_level: Tokenizer, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert len(byte_level.encode(text).ids) <= BytesCounter().count(text)


@pytest.mark.model
def test_the_default_is_above_a_byte_level_tokenizer_on_prose_and_code(byte_level: Tokenizer) -> None:
    prose = (ROOT / "docs" / "format.md").read_text("utf-8")
    for text in (
        prose,
        Path(__file__).read_text("utf-8"),
        prose.upper(),
        "7 " * 500 + "12345 " * 100,
        "\u4eca\u5929" * 99,
    ):
        assert len(byte_level.encode(text).ids) <= SafeCounter().count(text)


@pytest.mark.model
@given(text=st.text())
def test_the_default_never_exceeds_bytes_by_more_than_its_margin(text: str) -> None:
    counted, size = SafeCounter().count(text), BytesCounter().count(text)
    assert counted <= size * 7 / 6 + 1
    assert counted >= len([c for c in text if not c.isalpha() and not c.isspace()])


@pytest.mark.model
def test_a_tokenizer_json_counts_exactly_and_never_cuts() -> None:
    counter = resolve_counter(SHIPPED)
    assert counter.count("hello world") == 2
    assert counter.count("hello " * 5000) == 5000
    assert counter.name == str(SHIPPED)


def test_anything_with_encode(byte_level: Tokenizer) -> None:
    class LikeTiktoken:
        def encode(self, text: str) -> list[int]:
            return [1] * len(text)

    assert resolve_counter(LikeTiktoken()).count("four") == 4  # type: ignore[arg-type]
    text = "the value of the expression"
    assert resolve_counter(byte_level).count(text) == len(byte_level.encode(text).ids)  # type: ignore[arg-type]


def test_functions_and_names() -> None:
    assert resolve_counter(len).count("four") == 4
    assert resolve_counter("bytes").count("\u00e4") == 2
    assert resolve_counter(None).name == resolve_counter("safe").name == "safe"
    own = BytesCounter()
    assert resolve_counter(own) is own
    with pytest.raises(ConfigError, match="gave -1"):
        resolve_counter(lambda text: -1).count("x")


@pytest.mark.parametrize("wrong", [5, BytesCounter, Path("nowhere.json"), "nowhere.json"])
def test_what_does_not_count(wrong: object) -> None:
    with pytest.raises(ConfigError, match="token_counter"):
        resolve_counter(wrong)  # type: ignore[arg-type]
