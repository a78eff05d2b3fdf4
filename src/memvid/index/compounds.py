"""What a text is to be found by besides its words: compounds written as one, and parts of Korean words.

A compound is of words with a hyphen, a point or an underscore between them: ``TK-10482``, ``2.13.0``, ``dry_run``.
Its words are in many chunks, and so are all of them together; written as one, ``tk10482``, it is in those that it is
about, and is found without its signs as well. Korean puts particles behind its nouns, which pairs of syllables leave
out.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["compound_terms"]

_WORD = r"[^\0-/:-@\[-`{-\x7f]"  # letters, digits, all beyond ASCII; by what is not, it compiles at once
_THOUSANDS = "(?<=[0-9]),(?=[0-9]{3}(?![0-9]))"
_JOINT = re.compile(f"[-._,](?<={_WORD}.)(?={_WORD})(?:(?<!,)|(?<=[0-9],)(?=[0-9]{{3}}(?![0-9])))")
_REST = re.compile(f"(?:(?:[-._]|{_THOUSANDS}){_WORD}+)+")
_BEFORE = re.compile(f"{_WORD}*$")
_BETWEEN_DIGITS = re.compile("(?<=[0-9])[-._](?=[0-9])")
_SIGNS = str.maketrans("", "", "-._,")
_VERSION = re.compile("^v(?=[0-9])")
_TIME = re.compile("(?<=^[0-9]{4}-[0-9]{2}-[0-9]{2})t[0-9]{2}$")  # of a day, which is asked for without it
_LONGEST = 64  # characters, signs included; what is longer is no name that people ask for
_POINT = "\xb7"  # in place of what is between two digits: 2.13 is not 213
_JAMO = re.compile("[\u1100-\u11ff]{4,}")  # as NFKD leaves Korean: two syllables and more


def compound_terms(normal: str) -> list[str]:
    """The terms, in their order; one may be there more than once.

    :param normal: a text as :func:`~memvid.index.keywords.normalise` gives it.
    """
    terms = []
    end = 0
    for joint in _JOINT.finditer(normal):
        at = joint.start()
        if at < end:
            continue
        before = _BEFORE.search(normal, max(end, at - _LONGEST), at)
        rest = _REST.match(normal, at)
        if before is None or rest is None:
            continue
        end = rest.end()
        if end - before.start() <= _LONGEST:
            terms.append(_as_one(normal[before.start() : end]))
    if not normal.isascii():
        for word in _JAMO.findall(normal):
            terms += _pairs(unicodedata.normalize("NFC", word))
    return terms


def _as_one(compound: str) -> str:
    name = _VERSION.sub("", _TIME.sub("", compound.lower()))
    return _BETWEEN_DIGITS.sub(_POINT, name).translate(_SIGNS)


def _pairs(syllables: str) -> list[str]:
    """Of three syllables and more; two are a word of their own."""
    if len(syllables) < 3:
        return []
    return [unicodedata.normalize("NFKD", syllables[at : at + 2]) for at in range(len(syllables) - 1)]
