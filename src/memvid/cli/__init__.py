"""The command line: ``memvid VERB ...``.

One module a verb (or a group of them), each with its click command; :mod:`memvid.cli.app` lists them. Nothing heavy is
imported before a verb runs, so ``--help`` answers at once.
"""

from __future__ import annotations

from memvid.cli.app import main

__all__ = ["main"]
