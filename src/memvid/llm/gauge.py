"""Holds an answer to its limits while it is made, whoever makes it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from memvid.llm.protocol import Piece
from memvid.network.meter import Clock, Pace, StoppedError

__all__ = ["AnswerGauge", "held"]

_BYTES_A_TOKEN = 16  # four times as many as in English: servers that count otherwise are not to be cut
_SPARE = 4096  # bytes beyond
_PIECE = 3  # bytes that a piece counts at least: some bring nothing, and some a letter
_PATIENCE = 10.0


class AnswerGauge:
    """Measures the pieces of an answer.

    :param tokens: the answer may have; ``None`` for any number.
    :param pace: UTF-8 bytes of text, thoughts included, that pieces bring at least for each second they take, from the
        first text on (:class:`~memvid.network.meter.Pace`); 0 asks for none.
    """

    def __init__(self, *, tokens: int | None, pace: float = 0.0) -> None:
        self._tokens = tokens
        self._bytes_left = (tokens or 0) * _BYTES_A_TOKEN + _SPARE
        self._pace = Pace(pace, _PATIENCE)
        self._begun = False

    def take(self, piece: Piece, seconds: float = 0.0) -> None:
        """A piece came, after so many seconds.

        :raises StoppedError: the answer is too long, or comes too slowly.
        """
        size = len(piece.text.encode("utf-8", "surrogatepass")) + len(piece.thought.encode("utf-8", "surrogatepass"))
        self._bytes_left -= max(size, _PIECE)
        if self._tokens is not None and self._bytes_left < 0:
            raise StoppedError("tokens", f"goes on where answer_tokens={self._tokens} should have ended it")
        if self._begun:
            self._pace.arrived(size, seconds)
        self._begun = self._begun or size > 0


def held(pieces: Iterator[Piece], gauge: AnswerGauge, clock: Clock) -> Iterator[Piece]:
    """The pieces, as long as they keep to the limits. What is done with one is not on the clock.

    :raises StoppedError: they go beyond.
    """
    while True:
        begin = time.monotonic()
        with clock.waiting():
            piece = next(pieces, None)
        if piece is None:
            return
        gauge.take(piece, time.monotonic() - begin)
        yield piece
