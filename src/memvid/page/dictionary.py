"""A zstd dictionary trained on the corpus, sized to it, and left out where it would not pay for its own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zstandard

from memvid.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "DICTIONARY_LEVEL",
    "MIN_DICTIONARY_BYTES",
    "SAMPLE_BYTES",
    "dictionary_size",
    "sample_plan",
    "train_dictionary",
]

DICTIONARY_LEVEL = 19
"""zstd level a dictionary itself is stored at."""

MIN_DICTIONARY_BYTES = 1024
"""Least size the trainer makes anything of: one of its segments."""

SAMPLE_BYTES = 8192
"""Bytes of one chunk that are looked at; give the trainer no more of a longer one."""

# A sixteenth of the corpus, up to 1 MiB: larger ones still gain 2 to 3 % a doubling, and each doubling doubles the
# frames that must be read before the first answer.
_SHARE = 16
_LARGEST = 1 << 20
_LEAST_CORPUS = 64 << 10
_LEAST_SAMPLES = 64
# The trainer gains little from more than 24 times the dictionary's size.
_SAMPLE_FACTOR = 24
_BLOCK = 16
# zstd's fastcover: segments of at most so many bytes, chosen by the words of 8 bytes they share with the corpus.
# Segments of 200 bytes to 2 KiB differ by about 2 % at most, now one ahead and now the other.
_SEGMENT, _WORD, _HASH_LOG = 1024, 8, 20
_TRIAL_LEVEL = 12
_TRIAL_PAGES = 64
_PAGE_BYTES = 2953


def dictionary_size(corpus_bytes: int, size: int | None = None) -> int:
    """Bytes of the dictionary to train: ``size``, or what suits the corpus; 0 is none.

    :raises ConfigError: ``size`` is below what zstd accepts.
    """
    if size is None:
        return 0 if corpus_bytes < _LEAST_CORPUS else min(corpus_bytes // _SHARE, _LARGEST)
    if 0 < size < MIN_DICTIONARY_BYTES:
        raise ConfigError(f"dictionary={size} is not possible: expected 0 or at least {MIN_DICTIONARY_BYTES} bytes")
    return size


def sample_plan(chunk_count: int, corpus_bytes: int, *, size: int | None = None) -> Sequence[int]:
    """Ids of the chunks to train on, ascending: all of a small corpus, else evenly spaced blocks of neighbours.

    Neighbours, because pages hold neighbours and the trial that decides on the dictionary must resemble them. Read at
    most :data:`SAMPLE_BYTES` of each; together they are then at most about 24 times the dictionary, which is 24 MiB
    unless ``size`` says more.
    """
    wanted = dictionary_size(corpus_bytes, size) * _SAMPLE_FACTOR
    if wanted == 0 or chunk_count == 0:
        return range(0)
    mean = min(max(1, corpus_bytes // chunk_count), SAMPLE_BYTES)
    blocks = max(1, wanted // (mean * _BLOCK))
    if blocks * _BLOCK >= chunk_count:
        return range(chunk_count)
    last = chunk_count - _BLOCK
    starts = (last * block // max(1, blocks - 1) for block in range(blocks))
    return [start + offset for start in starts for offset in range(_BLOCK)]


def train_dictionary(samples: Sequence[bytes], corpus_bytes: int, *, size: int | None = None) -> bytes | None:
    """A dictionary in zstd's format, or ``None`` if there is to be none. The same samples give the same bytes.

    Takes about 0.1 s a MiB of samples on one core. With ``size=None`` the dictionary is tried on pages of the samples,
    and dropped unless it saves more than it takes.

    :param samples: text and metadata of the chunks of :func:`sample_plan`, in order.
    :param corpus_bytes: size of the whole corpus.
    :param size: bytes of the dictionary; 0 is none, ``None`` decides.
    :raises ConfigError: see :func:`dictionary_size`.
    """
    wanted = dictionary_size(corpus_bytes, size)
    if wanted == 0 or len(samples) < _LEAST_SAMPLES:
        return None
    clipped: list[bytes | bytearray | memoryview] = [sample[:SAMPLE_BYTES] for sample in samples]
    try:
        # One thread and fixed parameters: the trainer's own search is not deterministic.
        trained: bytes = zstandard.train_dictionary(
            wanted, clipped, k=_SEGMENT, d=_WORD, f=_HASH_LOG, accel=1, level=_TRIAL_LEVEL
        ).as_bytes()
    except zstandard.ZstdError:
        return None  # zstd's way to say that the samples are too few or too uniform for a dictionary
    if size is None and not _pays(trained, clipped, corpus_bytes):
        return None
    return trained


def _pays(dictionary: bytes, samples: Sequence[bytes | bytearray | memoryview], corpus_bytes: int) -> bool:
    """Whether the pages of the corpus shrink by more than the dictionary's own pages, judged by some of the samples."""
    keyed = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_FULLDICT)
    keyed.precompute_compress(level=_TRIAL_LEVEL)
    without = zstandard.ZstdCompressor(level=_TRIAL_LEVEL)
    with_it = zstandard.ZstdCompressor(level=_TRIAL_LEVEL, dict_data=keyed, write_dict_id=False)
    raw = saved = 0
    for page in _trial_pages(samples):
        raw += len(page)
        saved += len(without.compress(page)) - len(with_it.compress(page))
    cost = len(zstandard.ZstdCompressor(level=DICTIONARY_LEVEL).compress(dictionary)) + _PAGE_BYTES
    return saved * corpus_bytes > cost * raw


def _trial_pages(samples: Sequence[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    blocks = range(0, len(samples), _BLOCK)
    for start in blocks[:: max(1, len(blocks) // _TRIAL_PAGES)]:
        yield b"".join(samples[start : start + _BLOCK])
