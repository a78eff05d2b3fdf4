"""Fixtures that several test modules use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Times on a busy machine say nothing about the code, so no test fails by them.
settings.register_profile("memvid", deadline=None)
settings.load_profile("memvid")


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `own_cache` does, for the fixtures that are made before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMVID_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests out of the user's cache folder: each starts with an empty one."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MEMVID_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """An index of 5,000 chunks, more than are searched exactly."""
    from tests.index_support import build

    return build(tmp_path_factory.mktemp("large"), 5000)
