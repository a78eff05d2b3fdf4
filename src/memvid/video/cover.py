"""The cover: the first picture of a memory, which a person can read and every phone can scan.

Its code holds plain text, the same that is drawn around it. So the text alone makes the picture again, in any size.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.config import ErrorCorrection
from memvid.video.cover_letters import LETTER_HEIGHT, LETTER_WIDTH, draw_line, plain_line

__all__ = [
    "centred",
    "chunks_on_cover",
    "cover_picture",
    "cover_text",
    "has_cover_room",
    "is_cover_text",
    "make_cover",
]

_MAX_VERSION = 10  # of the code: larger ones are read by fewer phones
_QUIET = 4  # modules
_LARGEST_MODULE = 2  # pixels
_LEAST_COLUMNS = 16  # of letters: a line of fewer is hard to read
_LEAST_SPACE = 2  # pixels
_NO_LETTERS = "Title: scan the code"
_HOW = """\
Search it: pip install memvid
memvid search FILE "question"
Read it: see the next code"""


def cover_text(*, title: str | None, chunks: int, documents: int, date: str | None) -> str:
    """What a cover says: lines about the memory, an empty one, and how to go on.

    :param title: the memory's name.
    :param documents: where its chunks are from; 0 if they do not say.
    """
    counts = f"{chunks:,} chunk{'' if chunks == 1 else 's'}"
    if documents:
        counts += f" of {documents:,} document{'' if documents == 1 else 's'}"
    lines = [title or "A memvid memory", counts, *([date] if date else [])]
    return "\n".join([*lines, "", *_HOW.split("\n")])


def make_cover(version: int, *, title: str | None, chunks: int, documents: int, date: str | None) -> bytes | None:
    """What a cover's code holds, :func:`cover_text` in UTF-8; ``None`` where frames have no room for the picture.

    :param version: of the symbols in the other frames.
    """
    payload = cover_text(title=title, chunks=chunks, documents=documents, date=date).encode()
    return None if cover_picture(payload, version) is None else payload


def is_cover_text(payload: bytes) -> bool:
    """Whether a text that is no page is what a cover's code holds, going by how it ends."""
    return payload.endswith(f"\n\n{_HOW}".encode())


def chunks_on_cover(payload: bytes) -> int:
    """How many chunks a cover says there are; 0 if it does not."""
    lines = payload.decode(errors="replace").split("\n")
    found = re.fullmatch(r"([0-9,]{1,25}) chunks?( of [0-9,]+ documents?)?", lines[1]) if len(lines) > 1 else None
    return 0 if found is None else int(found[1].replace(",", "") or 0)


def has_cover_room(version: int) -> bool:
    """Whether frames with symbols of a version are large enough for a cover with a short title."""
    return _side(version) >= _LEAST_COLUMNS * LETTER_WIDTH


def _side(version: int) -> int:
    return 4 * version + 17 + 2 * _QUIET


def cover_picture(payload: bytes, version: int) -> NDArray[np.uint8] | None:
    """The picture, ``uint8[n, n]``, 0 black, 255 white: the text around a code that holds it.

    It is as large as a symbol of a version with its quiet zone, a pixel a module. Where not all lines have room, those
    on how to go on are only in the code.

    :param payload: the text in UTF-8.
    :returns: ``None`` where there is no room for the others either, or it is no text.
    """
    side = _side(version)
    columns = side // LETTER_WIDTH
    try:
        title, *others = payload.decode().split("\n")
        blocks = "\n".join([_title_line(title), *map(plain_line, others)]).partition("\n\n")
        above, _, below = ([*_wrap(block, columns)] for block in blocks)
    except UnicodeDecodeError:
        return None
    if not has_cover_room(version):
        return None
    for lines in (above + below, above):
        room = side - len(lines) * LETTER_HEIGHT - _LEAST_SPACE
        for pixels in range(_LARGEST_MODULE, 0, -1):
            for level in ("M", "L"):
                code = _draw_code(payload, level, pixels)
                if code is not None and len(code) <= room:
                    return _compose(code, above, lines[len(above) :], side)
    return None


def centred(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture in the middle of a white one, ``uint8[height, width]``."""
    rows, columns = picture.shape
    whole = np.full((height, width), 255, np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    whole[top : top + rows, left : left + columns] = picture
    return whole


def _title_line(title: str) -> str:
    """The title as far as there are letters for it, or where to read it."""
    line = plain_line(title)
    return line if line.count("?") - title.count("?") <= len(line) // 2 else _NO_LETTERS


def _wrap(block: str, columns: int) -> Iterator[str]:
    for line in block.split("\n"):
        yield from textwrap.wrap(line, columns)


def _compose(code: NDArray[np.uint8], above: list[str], below: list[str], side: int) -> NDArray[np.uint8]:
    picture = np.full((side, side), 255, np.uint8)
    heights = [len(above) * LETTER_HEIGHT, len(code), len(below) * LETTER_HEIGHT]
    space = (side - sum(heights)) // 4
    _draw_lines(picture, above, space)
    top = (heights[0] + side - heights[2] - len(code)) // 2
    left = (side - len(code)) // 2
    picture[top : top + len(code), left : left + len(code)] = code
    _draw_lines(picture, below, side - heights[2] - space)
    return picture


def _draw_code(payload: bytes, level: ErrorCorrection, pixels: int) -> NDArray[np.uint8] | None:
    """The smallest code that holds the text, with its quiet zone; ``None`` if it takes a large one."""
    for version in range(1, _MAX_VERSION + 1):
        options = _core.SymbolOptions(version=version, level=level, data_mask=None, utf8=True)
        if len(payload) <= _core.symbol_capacity(options):
            modules = np.pad(_core.create_symbol(payload, options), _QUIET, constant_values=255)
            return modules.repeat(pixels, axis=0).repeat(pixels, axis=1)
    return None


def _draw_lines(picture: NDArray[np.uint8], lines: list[str], top: int) -> None:
    """Write lines, each in the middle."""
    for line in lines:
        drawn = draw_line(line)
        left = (picture.shape[1] - drawn.shape[1] + 1) // 2
        picture[top : top + LETTER_HEIGHT, left : left + drawn.shape[1]][drawn] = 0
        top += LETTER_HEIGHT
