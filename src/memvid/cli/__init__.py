"""The command line: ``memvid VERB ...``.

One module a verb (or a group of them), each with its click command; :mod:`memvid.cli.app` lists them. Nothing heavy is
imported before a verb runs, so ``--help`` answers at once.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param argv: arguments without the program's name; ``None`` takes the process's own, and ends with SIGINT ignored:
        what is left is the end of the process.
    :returns: the exit code: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted by Ctrl-C,
        141 the reader of standard output went away, 143 and 129 ended by SIGTERM and SIGHUP.
    """
    try:
        from memvid.cli.process import run  # nothing before: also the start can be interrupted

        return run(argv)
    except KeyboardInterrupt:
        return 130
