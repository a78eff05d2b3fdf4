"""Profiles: what a memory keeps of its vectors, in everything that is done with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memvid import MemvidAppender, MemvidEncoder, MemvidRetriever
from memvid.cli import main
from memvid.config import EncoderConfig
from memvid.embedding import CallableEmbedder, HashingEmbedder
from memvid.errors import ChunkNotFoundError, ConfigError, IndexFormatError
from memvid.index.manifest import Manifest, read_manifest
from memvid.maintenance import compact, erase, pack, reindex, repair, unpack, verify
from memvid.ranking.refining import REFINED
from memvid.storage.commit import default_index_file
from tests.memory_support import EMBEDDER, make_texts, open_memory

TEXTS = make_texts(300, words=12)
QUERY = "a river, a mountain and the engine"
PROFILES = ["small", "tiny"]


class CountingEmbedder(HashingEmbedder):
    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return super().encode(texts)


class RemoteEmbedder(HashingEmbedder):
    is_local = False


def build(folder: Path, profile: str, *, one: bool = False, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    video = folder / "memory.mp4"
    with MemvidEncoder(embedder=EMBEDDER, profile=profile, **options) as encoder:
        encoder.add_chunks(TEXTS, metadatas=[{"n": number} for number in range(len(TEXTS))])
        encoder.build_video(video, video if one else folder / "memory_index.json")
    return video


def opened(video: Path) -> MemvidAppender:
    return MemvidEncoder.open(video, embedder=EMBEDDER)


def manifest_of(video: Path) -> Manifest:
    return read_manifest(video if not default_index_file(video).exists() else default_index_file(video))


def codes_of(video: Path) -> NDArray[np.uint8]:
    with open_memory(video) as memory:
        ids = memory.chunk_ids()
        found = [memory._index.kept_codes(chunk, 1) for chunk in ids]
        return np.concatenate([codes[1] for codes in found if codes is not None])


def check_answers(video: Path, gone: set[int]) -> None:
    with open_memory(video) as memory:
        for chunk in range(0, len(TEXTS), 37):
            if chunk in gone:
                with pytest.raises(ChunkNotFoundError):
                    memory.get_chunk_by_id(chunk)
                continue
            (first, *_) = memory.search_results(TEXTS[chunk], 3, mode="semantic")
            assert first.chunk_id == chunk
            assert first.text == TEXTS[chunk]
            assert first.score == pytest.approx(1, abs=0.02)
        found = memory.search_results(QUERY, 10, where={"n": {"$lt": 40}})
        assert len(found) == 10
        assert all(hit.metadata["n"] < 40 and hit.chunk_id not in gone for hit in found)


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_memory_of_each_profile_does_what_memories_do(tmp_path: Path, profile: str, one: bool) -> None:
    video = build(tmp_path, profile, one=one)
    assert verify(video).ok
    check_answers(video, set())
    before = codes_of(video)
    for round_ in range(3):  # segments that are merged: their codes stay as they are
        with opened(video) as memory:
            memory.add_chunks(make_texts(40, words=12, seed=10 + round_))
            memory.delete([37 * round_])
            memory.append()
    gone = {0, 37, 74}
    assert np.array_equal(codes_of(video)[: len(TEXTS) - 3], np.delete(before, sorted(gone), axis=0))
    check_answers(video, gone)
    appended = codes_of(video)
    compact(video)
    assert np.array_equal(codes_of(video), appended)
    erase(video, chunk_ids=[111])
    assert np.array_equal(codes_of(video), np.delete(appended, 111 - 3, axis=0))
    check_answers(video, gone | {111})
    assert verify(video).ok
    if one:
        unpack(video)
        assert (tmp_path / "memory_index.codes").exists()
        pack(video)
    reindex(video, embedder=EMBEDDER)
    assert verify(video).ok
    check_answers(video, gone | {111})
    assert manifest_of(video).options.profile == profile
    with open_memory(video) as memory:
        assert (memory.info.profile, memory.info.vector_dtype) == (
            profile,
            {"small": "code4", "tiny": "code1"}[profile],
        )


def test_the_smaller_ones_take_less(tmp_path: Path) -> None:
    sizes = {}
    for profile in ("fast", *PROFILES):
        video = build(tmp_path / profile, profile)
        (vectors,) = (file for role, file in manifest_of(video).side_files() if role == "vectors")
        assert vectors.name == f"memory_index.{'usearch' if profile == 'fast' else 'codes'}"
        sizes[profile] = vectors.bytes / len(TEXTS)
    assert sizes["tiny"] < 13  # 64 dimensions: 8 bytes and a factor
    assert sizes["tiny"] < sizes["small"] < sizes["fast"]


@pytest.mark.parametrize("profile", PROFILES)
def test_threads_and_batches_decide_nothing(tmp_path: Path, profile: str) -> None:
    files = set()
    for threads in (1, 2, 4):
        video = build(tmp_path / str(threads), profile, threads=threads)
        files.add(video.with_name("memory_index.codes").read_bytes())
    reindex(video, embedder=EMBEDDER)
    files.add(video.with_name("memory_index.codes").read_bytes())
    assert len(files) == 1


def test_another_profile_takes_the_place_of_one(tmp_path: Path) -> None:
    video = build(tmp_path, "fast")
    for profile, suffix in (("small", "codes"), ("fast", "usearch"), ("tiny", "codes")):
        reindex(video, embedder=EMBEDDER, config=EncoderConfig(profile=profile))  # type: ignore[arg-type]
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"memory.mp4", "memory_index.json", "memory_index.records", f"memory_index.{suffix}"}
        assert verify(video).ok


@pytest.mark.parametrize("profile", PROFILES)
def test_a_fast_one_is_compacted_to_another_without_embedding(tmp_path: Path, profile: Any) -> None:
    video = build(tmp_path, "fast", one=True)
    wanted = build(tmp_path / "other", profile, one=True)
    compact(video, profile=profile)
    assert manifest_of(video).options.profile == profile
    assert verify(video).ok
    check_answers(video, set())
    alike = np.mean(codes_of(video)[:, 4:] == codes_of(wanted)[:, 4:])  # of vectors that were rounded twice
    assert alike > 0.8
    compact(video, profile=profile)
    with pytest.raises(ConfigError, match=r"have to be embedded again: `memvid reindex .*memory\.mp4 --profile fast`"):
        compact(video, profile="fast")
    reindex(video, embedder=EMBEDDER, profile="fast")
    assert manifest_of(video).options == manifest_of(build(tmp_path / "fast", "fast")).options


def test_the_command_line_takes_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("The engine of the ferry is under the deck.\n\nThe river runs to the sea.\n")
    video = tmp_path / "notes.mp4"
    assert (
        main(["build", str(tmp_path / "notes.txt"), "-o", str(video), "--model", "hashing", "--profile", "tiny"]) == 0
    )
    assert main(["info", str(video), "--model", "hashing"]) == 0
    assert "profile tiny" in capsys.readouterr().out
    assert main(["reindex", str(video), "--model", "hashing", "--profile", "fast"]) == 0
    assert main(["compact", str(video), "--profile", "small"]) == 0
    assert manifest_of(video).options.profile == "small"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_repaired_memory_keeps_its_codes(tmp_path: Path, profile: str) -> None:
    video = build(tmp_path, profile)
    repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert np.array_equal(codes_of(tmp_path / "new.mp4"), codes_of(video))
    assert (tmp_path / "new_index.codes").read_bytes() == (tmp_path / "memory_index.codes").read_bytes()


class TestTiny:
    def test_the_best_have_exact_scores(self, tmp_path: Path) -> None:
        exact = build(tmp_path / "exact", "fast", vector_dtype="f32")
        tiny = build(tmp_path / "tiny", "tiny")
        for mode in ("hybrid", "semantic"):
            with open_memory(exact) as a, open_memory(tiny) as b:
                wanted = a.search_results(QUERY, 5, mode=mode)
                found = b.search_results(QUERY, 5, mode=mode)
            assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=1e-5)
            assert [hit.relevance for hit in found] == pytest.approx([hit.relevance for hit in wanted], abs=1e-5)

    def test_no_more_is_embedded_than_decides(self, tmp_path: Path) -> None:
        texts = [*["the harvest of the orchard"] * 30, *make_texts(200, words=12)]
        counting = CountingEmbedder(dim=64)
        with MemvidEncoder(embedder=counting, profile="tiny") as encoder:
            encoder.add_chunks(texts)
            encoder.build_video(tmp_path / "memory.mp4")
        with MemvidRetriever(tmp_path / "memory.mp4", embedder=counting) as memory:
            counting.texts.clear()
            (first, *_) = memory.search_results("the harvest of the orchard", 1, mode="semantic")
            assert first.score == pytest.approx(1, abs=1e-6)
            assert counting.texts == ["the harvest of the orchard"] * 2  # the question, and what all copies say
            counting.texts.clear()
            assert len(memory.search_results(QUERY, 100)) == 100
            assert len(counting.texts) <= 1 + REFINED
            counting.texts.clear()
            memory.search_many([QUERY, QUERY.upper()], 5)
            assert len(counting.texts) == len(set(counting.texts))  # no passage is embedded twice in one call

    def test_more_answers_than_are_embedded_again(self, tmp_path: Path) -> None:
        with open_memory(build(tmp_path, "tiny")) as memory:
            found = memory.search_results(QUERY, 200)
            assert len({hit.chunk_id for hit in found}) == 200
            assert [hit.relevance for hit in found] == sorted((hit.relevance for hit in found), reverse=True)
            varied = memory.search_results(QUERY, 10, diversity=0.7, min_score=0.1)
            assert len(varied) == 10
            assert all(hit.score >= 0.1 for hit in varied)

    def test_an_embedder_that_runs_elsewhere_is_refused(self, tmp_path: Path) -> None:
        remote = RemoteEmbedder(dim=64)
        with pytest.raises(ConfigError, match=r"profile=.tiny. is not possible .* which runs elsewhere"):
            MemvidEncoder(embedder=remote, profile="tiny")
        MemvidEncoder(embedder=remote, profile="small").close()
        video = build(tmp_path, "tiny")
        with pytest.raises(ConfigError, match="profile='tiny' is not possible"):
            reindex(video, embedder=remote)
        function = CallableEmbedder(EMBEDDER.encode, name=EMBEDDER.name, dim=64, is_local=False)
        with pytest.raises(ConfigError, match="profile='tiny' is not possible"):
            MemvidRetriever(video, embedder=function)
        local = CallableEmbedder(EMBEDDER.encode, name=EMBEDDER.name, dim=64)
        with MemvidRetriever(video, embedder=local) as memory:
            assert memory.search(QUERY, 1)
        with pytest.raises(ConfigError, match="profile='tiny' is not possible"):
            MemvidRetriever(video, embedder=remote)


@pytest.mark.parametrize("profile", PROFILES)
def test_damage_is_found(tmp_path: Path, profile: str) -> None:
    video = build(tmp_path, profile)
    codes = video.with_name("memory_index.codes")
    data = bytearray(codes.read_bytes())
    data[len(data) // 2] ^= 1
    codes.write_bytes(data)
    assert [finding.code for finding in verify(video).findings] == ["side file"]
    with pytest.raises(IndexFormatError, match=r"memory_index\.codes is damaged.*memvid reindex"):
        open_memory(video)


def test_a_manifest_of_codes_says_so(tmp_path: Path) -> None:
    index_file = build(tmp_path, "small").with_name("memory_index.json")
    content = json.loads(index_file.read_bytes())
    assert (content["version"], content["vectors"]["dtype"]) == (6, "code4")  # older releases say: upgrade
    content["version"] = 5
    index_file.write_text(json.dumps(content))
    with pytest.raises(IndexFormatError, match="has version 5 and not what belongs to it"):
        read_manifest(index_file)
    fast = json.loads(build(tmp_path, "fast").with_name("memory_index.json").read_bytes())
    assert fast["version"] == 5


@pytest.mark.parametrize(
    "options",
    [{"profile": "smal"}, {"profile": "small", "vector_dtype": "f32"}, {"profile": "small", "connectivity": 200}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EncoderConfig(**options)
