"""``python -m memvid``: the command line."""

from __future__ import annotations

import sys

from memvid.cli import main

if __name__ == "__main__":
    sys.exit(main())
