"""Where a model runs. Only the CPU is here: how other providers are chosen is tested with sessions that pretend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import memvid
from memvid.embedding import MiniLMEmbedder, OnnxEmbedder
from memvid.embedding.providers import CPU, CUDA, check_providers, open_session
from memvid.errors import ConfigError, EmbeddingError

TENSORRT = "TensorrtExecutionProvider"
ALL = (TENSORRT, CUDA, CPU)


class PretendedSession:
    """A session that loads only what works, as onnxruntime's do."""

    def __init__(self, asked: Sequence[str], working: Sequence[str]) -> None:
        self._providers = [name for name in asked if name in working]
        if CPU not in self._providers:
            self._providers.append(CPU)  # onnxruntime always adds it

    def get_providers(self) -> Sequence[str]:
        return self._providers


def open_pretended(
    asked: tuple[str, ...] | None, available: Sequence[str], working: Sequence[str], *, raising: bool = False
) -> tuple[list[str], list[tuple[str, ...]]]:
    """What a session runs on, and what was tried."""
    tried: list[tuple[str, ...]] = []

    def make(names: tuple[str, ...]) -> PretendedSession:
        tried.append(names)
        if raising and not set(names) <= set(working):
            raise EmbeddingError("CUDA failure 100: no CUDA-capable device is detected")
        return PretendedSession(names, working)

    return list(open_session(make, asked, available).get_providers()), tried


class TestPretended:
    @pytest.mark.parametrize(
        ("available", "working", "runs_on"),
        [
            ((CPU,), (CPU,), [CPU]),
            (("AzureExecutionProvider", CPU), (CPU,), [CPU]),
            (ALL, ALL, [CUDA, CPU]),  # TensorRT is not taken unasked
            (ALL, (CPU,), [CPU]),
        ],
    )
    @pytest.mark.parametrize("raising", [False, True])
    def test_the_choice(
        self, available: Sequence[str], working: Sequence[str], runs_on: list[str], raising: bool
    ) -> None:
        found, tried = open_pretended(None, available, working, raising=raising)
        assert found == runs_on
        assert all(TENSORRT not in names for names in tried)

    def test_what_is_asked_for_is_given(self) -> None:
        assert open_pretended((TENSORRT, CUDA), ALL, ALL) == ([TENSORRT, CUDA, CPU], [(TENSORRT, CUDA)])
        assert open_pretended((CPU,), ALL, ALL) == ([CPU], [(CPU,)])

    def test_what_is_not_there_is_named_with_what_is(self) -> None:
        with pytest.raises(ConfigError, match=f"no {CUDA}, only AzureExecutionProvider, {CPU}"):
            open_pretended((CUDA, CPU), ("AzureExecutionProvider", CPU), (CPU,))

    def test_what_does_not_work_is_no_fallback(self) -> None:
        with pytest.raises(ConfigError, match=f"{CUDA} could not be loaded, which left {CPU}"):
            open_pretended((CUDA, CPU), ALL, (CPU,))
        with pytest.raises(EmbeddingError, match="no CUDA-capable device"):
            open_pretended((CUDA, CPU), ALL, (CPU,), raising=True)

    def test_a_model_that_cannot_be_loaded_is_an_error(self) -> None:
        with pytest.raises(EmbeddingError):
            open_pretended(None, ALL, (), raising=True)


class TestNames:
    def test_names(self) -> None:
        assert check_providers(None) is None
        assert check_providers([CUDA, CPU]) == (CUDA, CPU)

    @pytest.mark.parametrize("wrong", [CUDA, [], [""], [7], {CUDA}, 7])
    def test_no_names(self, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="providers="):
            MiniLMEmbedder(providers=wrong)


@pytest.mark.model
class TestReal:
    def test_the_shipped_model_runs_on_the_cpu(self) -> None:
        assert MiniLMEmbedder().provider == CPU
        assert MiniLMEmbedder(providers=[CPU]).provider == CPU

    def test_the_choice_is_one_that_onnxruntime_has(self) -> None:
        import onnxruntime

        embedder = OnnxEmbedder(Path(memvid.__file__).parent / "models" / "all-MiniLM-L6-v2")
        assert embedder.provider in onnxruntime.get_available_providers()

    def test_another_provider_gives_the_same_model(self) -> None:
        assert MiniLMEmbedder(providers=[CUDA]).digest == MiniLMEmbedder().digest

    def test_an_unknown_provider_is_refused_when_the_model_is_loaded(self) -> None:
        embedder = MiniLMEmbedder(providers=["NoSuchProvider"])
        for use in (embedder.warm, lambda: embedder.encode(["a text"]), lambda: embedder.provider):
            with pytest.raises(ConfigError, match=f"no NoSuchProvider, only .*{CPU}"):
                use()
