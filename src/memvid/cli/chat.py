"""``memvid chat``: a conversation with a memory, in the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, heading, one_line, passage, rows
from memvid.cli.own_words import in_own_words
from memvid.cli.process import is_stopped
from memvid.config import QUESTION_BYTES
from memvid.errors import ConfigError, LLMError, MemvidError, QueryError
from memvid.printable import printable

if TYPE_CHECKING:
    from memvid.chat import ChatMessage, MemvidChat
    from memvid.config import Mode

__all__ = ["chat"]

_LINES = 3  # of each passage in /sources
_COMMANDS = (
    ("/sources", "the passages the last answer was given, and what was left out"),
    ("/usage", "tokens this conversation has cost"),
    ("/save FILE", "write the conversation: .md to read, anything else as JSON for --load"),
    ("/reset", "forget what was said"),
    ("/help", "this list"),
    ("/quit", "end, as Ctrl-D does; Ctrl-C stops an answer"),
)


@click.command()
@options.memory_argument
@click.option(
    "--llm-provider", metavar="NAME", help="openai, anthropic, gemini, ollama, vllm, llamacpp, lmstudio or none."
)
@click.option("--llm-model", metavar="NAME", help="The provider's name of a model.")
@click.option("--base-url", metavar="URL", help="Any endpoint that speaks OpenAI's protocol.")
@click.option(
    "--key-variable", metavar="NAME", help="The environment variable that has the key, for an endpoint of your own."
)
@click.option("--system", metavar="TEXT", help="What the model is told about itself.")
@click.option("--context-window", type=int, metavar="N", help="Tokens of a request and its answer.")
@click.option(
    "--answer-seconds", type=float, metavar="N", help="Seconds to wait for an answer, of a slow model.  [default: 600]"
)
@click.option(
    "--turn-bytes",
    type=click.IntRange(min=1),
    default=QUESTION_BYTES,
    metavar="N",
    help="Memory that what is found for a question may take; more is refused.  [default: 128 MiB]",
)
@options.where
@options.mode
@options.rerank
@click.option("--load", type=options.file_path, help="Go on with a conversation that /save wrote.")
@options.index_file
@options.index_model
def chat(
    *,
    memory: Path,
    llm_provider: str | None,
    llm_model: str | None,
    base_url: str | None,
    key_variable: str | None,
    system: str | None,
    context_window: int | None,
    answer_seconds: float | None,
    turn_bytes: int,
    where: dict[str, Any] | None,
    mode: Mode,
    rerank: str | None,
    load: Path | None,
    index_file: Path | None,
    model: str | None,
) -> None:
    """Talk with a memory.

    The passages that fit each question best are read out of the video and given to a language model, which answers and
    cites them. The key is taken from OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY; without one, answers are the
    passages themselves. Questions come from standard input, one a line.

    \b
    memvid chat memory.mp4
    memvid chat memory.mp4 --llm-provider ollama --llm-model llama3.2
    memvid chat memory.mp4 --base-url http://localhost:8080/v1
    """
    from memvid.chat import MemvidChat
    from memvid.llm.quoting_backend import QuotingBackend

    patience: dict[str, Any] = {}
    if answer_seconds is not None:  # also in silence: many servers say nothing until they have read the question
        patience = {"answer_seconds": answer_seconds, "timeout": answer_seconds}
    with MemvidChat(
        memory,
        index_file,
        llm_api_key=_key(key_variable),
        llm_provider=llm_provider,
        llm_model=llm_model,
        base_url=base_url,
        embedder=options.index_embedder(model, memory, index_file),
        context_window=context_window,
        turn_bytes=turn_bytes,
        mode=mode,
        rerank=rerank,
        **patience,
    ) as conversation:
        if load is not None:
            if system is not None or where:
                option = "--system" if system is not None else "--where"
                raise click.UsageError(f"a conversation that is loaded has its own {option}: leave one of them out")
            conversation.load_history(load)
        else:
            conversation.start_session(system, where=where)
            if where is not None and (misses := conversation.retriever.why_nothing("", where=where, mode="hybrid")):
                emit(misses)
        backend = conversation.backend
        if isinstance(backend, QuotingBackend) and backend.reason:
            backend.reason = in_own_words(backend.reason)
        _Terminal(conversation).run(memory)


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"--key-variable {variable}: the environment has no such variable, or it is empty")
    return key


class _Terminal:
    """Reads questions and commands, shows answers as they come."""

    def __init__(self, conversation: MemvidChat) -> None:
        self._chat = conversation
        self._interactive = sys.stdin is not None and sys.stdin.isatty()

    def run(self, memory: Path) -> None:
        """Until the input ends."""
        if self._interactive:
            self._greet(memory)
        while self._next():
            pass

    def _next(self) -> bool:
        """Take one line; whether there may be more."""
        try:
            return self._line()
        except KeyboardInterrupt:  # at the prompt, in a command, or when an answer had just ended
            if is_stopped() or not self._interactive:
                raise
            emit("\n(/quit or Ctrl-D ends)")
            return True

    def _line(self) -> bool:
        try:
            line = self._read().strip()
        except EOFError:
            if self._interactive:
                emit()
            return False
        except UnicodeDecodeError as error:
            self._tell(QueryError(f"standard input is not {error.encoding}: {error.reason}, byte {error.start}"))
            return True
        if line in ("/quit", "/exit"):
            return False
        if line:
            self._take(line)
        return True

    def _greet(self, memory: Path) -> None:
        backend = self._chat.backend
        model = getattr(backend, "model", None)
        emit(heading(f"{memory}: {counted(len(self._chat.retriever), 'chunk')}"))
        if getattr(backend, "quotes", False):
            emit("No language model: answers are the passages that fit the question best.")
        else:
            emit(f"Answers by {one_line(backend.name)}{f', {one_line(model)}' if model else ''}.")
        emit("/help lists the commands.\n")

    def _read(self) -> str:
        if self._interactive:
            with suppress(ImportError):  # some Pythons are built without
                import readline  # noqa: F401 - gives input() editing and a history
            return input("You: ")
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not line:
            raise EOFError
        return line

    def _take(self, line: str) -> None:
        """One command or question. In a terminal an error is told and the conversation goes on; in a pipe it ends."""
        try:
            if line.startswith("/"):
                self._command(line)
            else:
                self._answer(line)
        except MemvidError as error:
            self._tell(error)

    def _tell(self, error: MemvidError) -> None:
        if not self._interactive:
            raise error
        emit(end="\n" if isinstance(error, LLMError) and error.partial else "")
        click.echo(f"memvid: error: {one_line(in_own_words(str(error)))}\n", err=True)

    def _answer(self, question: str) -> None:
        if self._interactive:
            emit()
        before = len(self._chat.history)
        try:
            for piece in self._chat.stream(question):
                emit(printable(piece), end="")
        except KeyboardInterrupt:
            if is_stopped() or not self._interactive:
                raise
            emit("\n(stopped)\n")
            return
        emit()
        for message in self._chat.history[before + 1 :]:
            self._footnotes(message)
        emit()

    def _footnotes(self, message: ChatMessage) -> None:
        lines = []
        for number in dict.fromkeys(source.number for source in message.sources):
            chunks = [source for source in message.sources if source.number == number]
            lines.append((f"[{number}]", _where([c.chunk_id for c in chunks], [c.frame_index for c in chunks])))
        if lines:
            emit("\n" + rows(lines))
        if message.finish_reason == "length":
            emit("\n  (The answer was cut at its limit.)")
        if message.removed_citations:
            count = message.removed_citations
            named = "citation named no passage and was" if count == 1 else "citations named no passage and were"
            emit(f"\n  ({count} {named} removed.)")

    def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name == "/help":
            emit(rows(_COMMANDS) + "\n")
        elif name == "/sources":
            self._sources()
        elif name == "/usage":
            self._usage()
        elif name == "/save":
            self._save(argument.strip())
        elif name == "/reset":
            self._chat.reset()
            emit("Forgotten.\n")
        else:
            emit(f"There is no command {one_line(name)}. /help lists them.\n")

    def _sources(self) -> None:
        context = self._chat.last_context
        if context is None:
            emit("There is no answer yet.\n")
            return
        if context.query != context.question:
            emit(f"Searched for: {one_line(context.query)}\n")
        for used in context.passages:
            where = _where(used.chunk_ids, used.frame_indexes)
            emit(heading(f"[{used.number}] score {used.score:.3f}  {where}"))
            emit(passage(used.text, lines=_LINES) + "\n")
        budget = context.budget
        if not getattr(self._chat.backend, "quotes", False):
            emit(f"{budget.request:,} tokens were sent, of {budget.window - budget.answer:,} there is room for.")
        reasons = {"score": "too far", "repeats": "repeats", "limit": "one too many", "budget": "no room"}
        for reason, name in reasons.items():
            if ids := [str(entry.chunk_id) for entry in context.left_out if entry.reason == reason]:
                emit(f"Left out, {name}: {', '.join(ids)}")
        emit()

    def _usage(self) -> None:
        usage = self._chat.usage
        counted = f", {usage.counted} of them counted by memvid" if usage.counted else ""
        emit(
            f"{usage.requests} requests{counted}: {usage.prompt_tokens:,} tokens sent, {usage.completion_tokens:,} "
            "received.\n"
        )

    def _save(self, name: str) -> None:
        if not name:
            emit("Say where: /save FILE\n")
            return
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's own raises where there is no such user
        self._chat.export_history(path, "markdown" if path.suffix.lower() in (".md", ".markdown") else "json")
        emit(f"Saved in {one_line(str(path))}.\n")


def _where(chunk_ids: tuple[int, ...] | list[int], frames: tuple[int, ...] | list[int]) -> str:
    chunks = f"chunk {chunk_ids[0]:,}" if len(chunk_ids) == 1 else f"chunks {chunk_ids[0]:,} to {chunk_ids[-1]:,}"
    first, last = min(frames), max(frames)
    return f"{chunks}, frame {first:,}" if first == last else f"{chunks}, frames {first:,} to {last:,}"
