"""The ladders that :func:`memvid.exchange.survive` sends a memory down, from gentle to hopeless."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from memvid.exchange.transcode import Step

__all__ = ["LADDERS", "Rung"]

_HALF, _THIRD, _WHOLE = Fraction(1, 2), Fraction(1, 3), Fraction(1)


@dataclass(frozen=True, slots=True)
class Rung:
    """One way that a video is passed on.

    :ivar name: what is done to it, in a few words.
    :ivar steps: one after the other.
    :ivar promised: whether the robust profile (``codec="h264"``, ``error_correction="M"``) comes back without loss.
    """

    name: str
    steps: tuple[Step, ...]
    promised: bool = True


def _h264(crf: int, gop: int, *, promised: bool = True) -> Rung:
    return Rung(f"H.264, CRF {crf}, GOP {gop}", (Step(codec="h264", quality=crf, gop=gop),), promised)


def _scaled(scale: Fraction, words: str, *, promised: bool = True) -> Rung:
    return Rung(f"H.264, CRF 28, {words}", (Step(codec="h264", quality=28, scale=scale),), promised)


_REMUXED = Rung("copied to mkv and back to mp4", (Step(suffix=".mkv"), Step(suffix=".mp4")))
_HALVED = _scaled(_HALF, "half size")
_MPEG4 = Rung("MPEG-4, qscale 10", (Step(codec="mpeg4", quality=10, gop=12),))

LADDERS = MappingProxyType(
    {
        "quick": (_REMUXED, _h264(28, 250), _h264(38, 250), _HALVED, _MPEG4),
        "default": (
            _REMUXED,
            _h264(28, 12),
            _h264(33, 250),
            _h264(38, 1),
            _h264(38, 12),
            _h264(38, 250),
            _h264(45, 250, promised=False),
            _h264(45, 1, promised=False),
            _h264(51, 250, promised=False),
            Rung("VP9, CRF 40", (Step(codec="vp9", quality=40),)),
            Rung("VP9, CRF 55", (Step(codec="vp9", quality=55),)),
            Rung("VP9, CRF 63", (Step(codec="vp9", quality=63),), promised=False),
            Rung("AV1, CRF 40", (Step(codec="av1", quality=40),)),
            Rung("AV1, CRF 50", (Step(codec="av1", quality=50),)),
            Rung("AV1, CRF 63", (Step(codec="av1", quality=63),), promised=False),
            _MPEG4,
            Rung("MPEG-4, qscale 31", (Step(codec="mpeg4", quality=31, gop=12),), promised=False),
            _HALVED,
            Rung(
                "H.264, CRF 28, half size and back",
                (
                    Step(codec="h264", quality=28, scale=_HALF),
                    Step(codec="h264", quality=28, scale=_WHOLE),
                ),
            ),
            _scaled(Fraction(2, 3), "two thirds of the size", promised=False),
            _scaled(_THIRD, "third size", promised=False),
            _scaled(Fraction(1, 4), "quarter size", promised=False),
            Rung(
                "mp4 to mkv, VP9 in webm, mp4",
                (Step(suffix=".mkv"), Step(codec="vp9", quality=40, suffix=".webm"), Step(suffix=".mp4")),
            ),
            Rung(
                "H.264, 30 to 24 to 30 frames a second",
                (Step(codec="h264", quality=23, fps=24), Step(codec="h264", quality=23, fps=30)),
                promised=False,
            ),
            Rung(
                "H.264, CRF 28, five times over",
                tuple(Step(codec="h264", quality=28) for _ in range(5)),
                promised=False,
            ),
        ),
    }
)
