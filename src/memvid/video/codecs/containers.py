"""Opening a file with PyAV, whichever release there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["open_container"]


def open_container(path: str | Path) -> Any:
    """A file to be read, whatever encoding its titles are in.

    Releases of PyAV before 19 refuse titles that are not UTF-8 unless they are told what to do with them; later ones
    cannot be told.
    """
    import av

    options: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    return av.open(os.fspath(path), **options)
