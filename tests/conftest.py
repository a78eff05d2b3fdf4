"""Fixtures that several test modules use, and what must not be skipped.

``MEMVID_REQUIRE=tools,model`` names the markers whose tests have to run: where one of them is skipped, it fails.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

# Times on a busy machine say nothing about the code, so no test fails by them.
settings.register_profile("memvid", deadline=None)
settings.load_profile("memvid")

_REQUIRABLE = {"model", "tools"}
_required = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Read and check ``MEMVID_REQUIRE``."""
    given = os.environ.get("MEMVID_REQUIRE", "").split(",")
    names = [name.strip() for name in given if name.strip()]
    if unknown := set(names) - _REQUIRABLE:
        raise pytest.UsageError(f"MEMVID_REQUIRE names {sorted(unknown)}: possible are {sorted(_REQUIRABLE)}")
    config.stash[_required] = names


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a required test into a failure."""
    report = yield
    required = [name for name in item.config.stash[_required] if item.get_closest_marker(name)]
    if report.skipped and required and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although MEMVID_REQUIRE names {required}: {report.longrepr}"
    return report


@pytest.fixture
def program() -> Callable[[str], str]:
    """Finds a program, and skips the test where there is none."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find


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
    from tests.index.index_support import build

    return build(tmp_path_factory.mktemp("large"), 5000)
