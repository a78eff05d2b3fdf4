"""``python -m memvid``: the command line."""

from __future__ import annotations

import sys


def _main() -> int:
    try:
        from memvid.cli import main  # not before: Ctrl-C comes while this is imported, too

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(_main())
