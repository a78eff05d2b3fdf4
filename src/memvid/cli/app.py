"""The verbs together, and what every way of ending means to the shell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from memvid import __version__
from memvid.cli.append import append
from memvid.cli.build import build
from memvid.cli.chat import chat
from memvid.cli.compact import compact
from memvid.cli.delete import delete
from memvid.cli.demo import demo
from memvid.cli.erase import erase
from memvid.cli.eval import evaluate
from memvid.cli.export import export
from memvid.cli.importing import import_old
from memvid.cli.info import info
from memvid.cli.log import log
from memvid.cli.output import ReaderGoneError, one_line
from memvid.cli.own_words import in_own_words
from memvid.cli.pack import pack, unpack
from memvid.cli.process import INTERRUPTED
from memvid.cli.reindex import reindex
from memvid.cli.repair import repair
from memvid.cli.scan import scan
from memvid.cli.search import search
from memvid.cli.survive import survive
from memvid.cli.tag import tag
from memvid.cli.verify import verify
from memvid.dependencies import first_cause
from memvid.errors import ConfigError, HistoryError, LLMError, MemvidError, ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "run_verb"]

OK, FAILURE, USAGE, PIPE_CLOSED = 0, 1, 2, 141
_DEBUG = "MEMVID_DEBUG"
_MORE_MEMORY = "close other programs, or raise the limit of this one (ulimit -v, a container's)"


class _InOrder(click.Group):
    """Lists the verbs in the order a newcomer meets them."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="memvid", message="%(prog)s %(version)s")
def app() -> None:
    """A text memory inside a video of QR codes, searched by meaning and by words.

    \b
    memvid demo                                   see it work, in half a minute
    memvid build notes/ -o memory.mp4             make a memory of your files
    memvid search memory.mp4 "what was decided?"  ask it
    memvid chat memory.mp4                        talk with it
    """


for _verb in (
    *(demo, build, search, chat, evaluate, info, append, delete, tag, log, scan, compact, erase),
    *(verify, repair, reindex, pack, unpack, export, survive, import_old),
):
    app.add_command(_verb)


def run_verb(argv: Sequence[str] | None) -> int:
    """Run a command; returns its exit code."""
    # No verb uses BLAS. OpenBLAS starts a thread for each core all the same, and where memory is too short for that it
    # interrupts the process as Ctrl-C does.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # What was typed goes to the verbs, one of which tells how to go on with it.
        code = app.main(args=arguments, prog_name="memvid", standalone_mode=False, obj=tuple(arguments))
    except click.UsageError as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and error.option_name[:2] != "--":
            click.echo("A text that begins with '-' goes behind '--'.", err=True)
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (ReaderGoneError, SystemExit):  # the second one is click's, of --help
        # Nobody reads any more: keep the interpreter from complaining when it flushes on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:
        if isinstance(first_cause(error), KeyboardInterrupt):  # on its way through what was being loaded
            return INTERRUPTED
        return _fail_by(error)
    return code if isinstance(code, int) else OK


def _fail_by(error: Exception) -> int:
    if isinstance(error, (MemvidError, OSError, click.ClickException)):
        if isinstance(error, (ConfigError, HistoryError, LLMError, ModelMismatchError)):
            return _fail(error, in_own_words(str(error)))
        return _fail(error, error.format_message() if isinstance(error, click.ClickException) else str(error))
    return _fail(error, _describe(error))


def _describe(error: Exception) -> str:
    """What to say of an error that is not one of memvid's own."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f' ({error})' if str(error) else ''}: {_MORE_MEMORY}"
    if isinstance(error, ImportError):  # numpy and others wrap the reason into advice
        return f"a part of memvid cannot be loaded: {first_cause(error)}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return f"no thread can be started: {_MORE_MEMORY}, or that of threads"
    # A fault of memvid: still one line, and how to see the rest.
    return f"unexpected {type(error).__name__}: {error} ({_DEBUG}=1 shows where; please report it)"


def _fail(error: BaseException, message: str) -> int:
    if os.environ.get(_DEBUG):
        raise error
    click.echo(f"memvid: error: {one_line(message) or type(error).__name__}", err=True)
    return FAILURE
