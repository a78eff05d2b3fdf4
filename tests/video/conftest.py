"""What several tests of videos need."""

from __future__ import annotations

from typing import Any

import pytest

from memvid.video.codecs.sources import AvSource, OpenCvSource


@pytest.fixture(params=["pyav", "opencv"])
def opener(request: pytest.FixtureRequest) -> Any:
    if request.param == "pyav":
        pytest.importorskip("av")
        return AvSource
    return OpenCvSource
