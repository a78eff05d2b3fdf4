"""A conversation over a memory: the public chat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from memvid.chat.answering import Answering, quotes_of
from memvid.chat.fitting import Budget
from memvid.chat.memory import Memory
from memvid.chat.running import Runner
from memvid.chat.session import Session
from memvid.chat.sessions import Sessions, check_text
from memvid.chat.turn import Prepared, prepare
from memvid.config import ChatConfig, make_config
from memvid.embedding import EmbedderLike
from memvid.errors import ConfigError, LLMError
from memvid.llm import Backend, BackendLike, TokenCounterLike, resolve_backend, resolve_counter
from memvid.network.secret import Secret
from memvid.retriever import MemvidRetriever
from memvid.types import SearchResult, StrPath

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from memvid.config import SearchKeywords

__all__ = ["MemvidChat"]

_ANSWER_AT_MOST = 4096


class MemvidChat(Sessions):
    """Answers questions from a memory, with any language model, and cites what it answers from.

    Without ``llm_provider``, ``base_url`` and ``backend`` the key or the model's name tells whose they are; without a
    key it is the provider whose key is in the environment (``OPENAI_API_KEY``, ``ANTHROPIC_API_KEY``,
    ``GEMINI_API_KEY``); without any, answers are the best passages, quoted and cited, and say so. Nothing is sent
    anywhere before the first question. Safe to share between threads that use sessions of their own (``session=``).

    ``start_session``, ``end_session``, ``reset``, ``history``, ``last_context``, ``usage`` and the export are in
    :mod:`memvid.chat.sessions`.

    :param video_file: the video; not needed with ``retriever``.
    :param index_file: its index; ``None`` takes the one inside the video, or ``<stem>_index.json`` beside it.
    :param llm_api_key: the key; sent to its provider's endpoint only, shown nowhere.
    :param llm_provider: ``"openai"``, ``"anthropic"``, ``"gemini"``, ``"ollama"``, ``"vllm"``, ``"llamacpp"``,
        ``"lmstudio"``, ``"none"`` for quotes, or what an installed package offers.
    :param llm_model: the model; ``None`` takes the provider's usual small one, or the first a local server lists.
    :param base_url: any endpoint that speaks OpenAI's protocol. Keys of the environment are not sent there.
    :param backend: a :class:`~memvid.llm.Backend`, or a function from messages to a text, in place of all of these.
    :param retriever: an open retriever, or anything with ``search``; it stays open when the chat is closed.
    :param embedder: what made the memory's embeddings, if it was not the MiniLM model that comes with memvid.
    :param timeout: seconds the provider may be silent (120).
    :param max_retries: how often a request is tried again after a passing failure (2).
    :param llm_options: more options of every request, such as ``{"temperature": 0}``.
    :param token_counter: how tokens are counted: ``"safe"``, ``"bytes"``, the path of the model's ``tokenizer.json``,
        or a function from a text to a number.
    :param config: a :class:`ChatConfig`, a dict of its options, or ``None`` for the defaults.
    :param options: single options of :class:`ChatConfig`, on top of ``config``.
    :raises ConfigError: an unknown name (the nearest known one is named), a missing key, an option out of range.
    :raises VideoNotFoundError: there is no such video; likewise the other errors of :class:`MemvidRetriever`.
    """

    def __init__(
        self,
        video_file: StrPath | None = None,
        index_file: StrPath | None = None,
        *,
        llm_api_key: str | None = None,
        llm_provider: str | None = None,
        llm_model: str | None = None,
        base_url: str | None = None,
        backend: BackendLike | None = None,
        retriever: Any = None,
        embedder: EmbedderLike | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        llm_options: Mapping[str, Any] | None = None,
        token_counter: TokenCounterLike | None = None,
        config: ChatConfig | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        try:
            key = Secret(llm_api_key, name="llm_api_key") if llm_api_key is not None else None
        finally:
            del llm_api_key  # what shows the variables of a traceback shows no key
        self.config = make_config(ChatConfig, config, options, beside=MemvidChat.__init__.__kwdefaults__ or ())
        self._backend = resolve_backend(
            backend,
            provider=llm_provider,
            api_key=key,
            model=llm_model,
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
            options=llm_options,
        )
        counter = resolve_counter(token_counter)
        self._budget = _budget(self.config, self._backend, counter)
        self._opened: MemvidRetriever | None = None
        if retriever is None:
            if video_file is None:
                raise ConfigError("there is no memory to talk about: give video_file, or retriever=")
            retriever = self._opened = MemvidRetriever(
                video_file, index_file, embedder=embedder, question_bytes=self.config.turn_bytes
            )
        elif video_file is not None or index_file is not None or embedder is not None:
            raise ConfigError("retriever= is open already: leave video_file, index_file and embedder out")
        self._memory = Memory(retriever, turn_bytes=self.config.turn_bytes)
        self._runner = Runner(self._memory, self._backend, counter, self.config, key)
        super().__init__(Path(video_file).name if video_file is not None else None)

    @property
    def backend(self) -> Backend:
        """What answers."""
        return self._backend

    @property
    def retriever(self) -> Any:
        """What is searched."""
        return self._memory.retriever

    def chat(self, message: str, *, session: str | None = None) -> str:
        """Answer a message from the memory; remembers both.

        :param session: the id of a session; ``None`` is the current one, which begins if there is none.
        :raises QueryError: the message is blank or not a string.
        :raises QuestionTooLargeError: it does not fit into the model's window.
        :raises SessionError: the session is unknown, or still answering.
        :raises LLMError: the model gives no answer; the conversation is as it was before.
        :raises FrameError: a frame that holds a passage cannot be read and verified.
        :raises ResourceLimitError: what is found for it takes more than ``turn_bytes``.
        """
        found = self._begin(message, session)
        with found.answering():
            clock = self._runner.clock()
            prepared = self._runner.run(self._steps(message, found), found, clock)
            answering = self._answering(prepared)
            answering.whole(self._runner.complete(prepared.messages, found, clock, **self._options(prepared)))
            return self._keep(found, prepared, answering)

    def stream(self, message: str, *, session: str | None = None) -> Generator[str, None, None]:
        """:meth:`chat`, in pieces as they are made; joined they are the answer.

        Closing the iterator, or Ctrl-C, ends the request; what had come is kept, marked as interrupted. After an error,
        :attr:`LLMError.partial` has it and the conversation is as it was before.
        """
        return self._stream(message, self._begin(message, session))

    async def achat(self, message: str, *, session: str | None = None) -> str:
        """:meth:`chat` for an event loop."""
        found = self._begin(message, session)
        with found.answering():
            clock = self._runner.clock()
            prepared = await self._runner.arun(self._steps(message, found), found, clock)
            answering = self._answering(prepared)
            answering.whole(await self._runner.acomplete(prepared.messages, found, clock, **self._options(prepared)))
            return self._keep(found, prepared, answering)

    def astream(self, message: str, *, session: str | None = None) -> AsyncGenerator[str, None]:
        """:meth:`stream` for an event loop.

        Who leaves the loop over it early closes it (``async with contextlib.aclosing(chat.astream(...)) as pieces``):
        Python itself does so at some later time, and until then the session is still answering.
        """
        return self._astream(message, self._begin(message, session))

    def search_memory(self, query: str, top_k: int = 5, **options: Unpack[SearchKeywords]) -> list[SearchResult]:
        """Search without a model and without a trace in the conversation; options as of the retriever's search."""
        self._check_open()
        return self._memory.search(query, top_k, **options)

    def close(self) -> None:
        """Let go of the memory, if the chat opened it, and of connections. Closing twice is fine."""
        if not self._closed:
            self._closed = True
            if self._opened is not None:
                self._opened.close()
            close = getattr(self._backend, "close", None)
            if callable(close):
                close()

    def __enter__(self) -> MemvidChat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_runner"):  # a debugger looks at one that could not be made
            return "MemvidChat(not open)"
        return f"MemvidChat({self._memory.retriever!r}, {self._backend!r}, {len(self._sessions)} sessions)"

    def _stream(self, message: str, session: Session) -> Generator[str, None, None]:
        with session.answering():
            clock = self._runner.clock()
            prepared = self._runner.run(self._steps(message, session), session, clock)
            answering = self._answering(prepared)
            pieces = self._runner.stream(prepared.messages, clock, **self._options(prepared))
            try:
                for piece in pieces:
                    if text := answering.feed(piece):
                        yield text
                if text := answering.finish():
                    yield text
            except LLMError as error:
                error.partial = answering.shown
                self._account(session, prepared, answering)
                raise
            except BaseException as error:
                if not isinstance(error, Exception):  # Ctrl-C, or the iterator was closed
                    self._keep_partial(session, prepared, answering)
                raise
            finally:
                pieces.close()  # type: ignore[attr-defined]
            self._account(session, prepared, answering)
            self._keep(session, prepared, answering)

    async def _astream(self, message: str, session: Session) -> AsyncGenerator[str, None]:
        with session.answering():
            clock = self._runner.clock()
            prepared = await self._runner.arun(self._steps(message, session), session, clock)
            answering = self._answering(prepared)
            pieces = self._runner.astream(prepared.messages, clock, **self._options(prepared))
            try:
                async for piece in pieces:
                    if text := answering.feed(piece):
                        yield text
                if text := answering.finish():
                    yield text
            except LLMError as error:
                error.partial = answering.shown
                self._account(session, prepared, answering)
                raise
            except BaseException as error:
                if not isinstance(error, Exception):  # cancelled, or the iterator was closed
                    self._keep_partial(session, prepared, answering)
                raise
            finally:
                await pieces.aclose()  # type: ignore[attr-defined]
            self._account(session, prepared, answering)
            self._keep(session, prepared, answering)

    def _begin(self, message: str, session: str | None) -> Session:
        self._check_open()
        check_text("message", message)
        return self._session(session)

    @property
    def _quotes(self) -> bool:
        return bool(getattr(self._backend, "quotes", False))

    def _steps(self, message: str, session: Session) -> Any:
        return prepare(message, session, self.config, self._budget, has_model=not self._quotes)

    def _answering(self, prepared: Prepared) -> Answering:
        return Answering(prepared.context, self._memory.seconds, quotes=self._quotes)

    def _options(self, prepared: Prepared) -> dict[str, Any]:
        return {"passages": quotes_of(prepared.context)} if self._quotes else {"max_tokens": self._budget.answer}

    def _keep(self, session: Session, prepared: Prepared, answering: Answering) -> str:
        session.add(*answering.messages())
        session.last_context = prepared.context
        return answering.shown

    def _keep_partial(self, session: Session, prepared: Prepared, answering: Answering) -> None:
        self._account(session, prepared, answering)
        session.last_context = prepared.context
        if answering.shown.strip():
            session.add(*answering.messages(interrupted=True))

    def _account(self, session: Session, prepared: Prepared, answering: Answering) -> None:
        self._runner.account(session, prepared.messages, answering.raw, answering.usage)


def _budget(config: ChatConfig, backend: Backend, counter: Any) -> Budget:
    window = config.context_window or getattr(backend, "window", None) or 4096
    answer = config.answer_tokens or min(_ANSWER_AT_MOST, window // 4)
    if answer >= window:
        raise ConfigError(f"answer_tokens={answer} is not possible: expected less than context_window={window}")
    return Budget(counter, window, answer)
