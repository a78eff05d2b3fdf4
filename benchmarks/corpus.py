"""English that every Python installation has: the language reference and the docstrings of the modules.

Benchmarks need real text, and the same text for whoever repeats them. What there is differs a little between versions
of Python, so a result names the corpus by its digest. A file of one's own can be named instead (``--corpus``).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memvid.chunking import split_text

__all__ = ["Corpus", "load_corpus"]

CHUNK_SIZE = 600


@dataclass(frozen=True, slots=True)
class Corpus:
    """Chunks of real text.

    :ivar name: where they come from.
    :ivar chunks: the texts.
    :ivar digest: SHA-256 of all of them, shortened.
    """

    name: str
    chunks: list[str]
    digest: str

    @property
    def nbytes(self) -> int:
        """UTF-8 bytes of all chunks."""
        return sum(len(chunk.encode()) for chunk in self.chunks)


def load_corpus(path: Path | None = None, *, limit_bytes: int | None = None) -> Corpus:
    """Text of ``path`` or of this Python installation, in chunks of about 500 bytes, up to ``limit_bytes``."""
    texts = _installation() if path is None else iter([path.read_text("utf-8")])
    chunks: list[str] = []
    seen: set[str] = set()
    total = 0
    for text in texts:
        for chunk in split_text(text, chunk_size=CHUNK_SIZE, overlap=0):
            if chunk in seen:
                continue
            seen.add(chunk)
            chunks.append(chunk)
            total += len(chunk.encode())
        if limit_bytes is not None and total >= limit_bytes:
            break
    digest = hashlib.sha256("\0".join(chunks).encode()).hexdigest()[:16]
    return Corpus("python installation" if path is None else path.name, chunks, digest)


def _installation() -> Iterator[str]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name]
    for folder in ("stdlib", "purelib"):
        root = Path(sysconfig.get_paths()[folder])
        for file in sorted(root.rglob("*.py")):
            inside = file.relative_to(root).parts
            if folder == "stdlib" and "site-packages" in inside:
                continue
            if text := _docstrings(file):
                yield text


def _docstrings(file: Path) -> str:
    """The docstrings of a module that read like prose, joined as paragraphs."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return ""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False)
            if docstring and len(docstring) > 100:
                found.append(inspect.cleandoc(docstring))
    return "\n\n".join(found)
