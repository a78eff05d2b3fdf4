"""Compressed documents, and pages whose markup asks for endless work."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from memvid.documents import find_files, read_documents, unpacking
from memvid.documents.html_text import html_to_text
from memvid.errors import ConfigError, DocumentError, ResourceLimitError


def texts_of(path: Path) -> list[str]:
    return [document.text for document in read_documents(find_files([path]).sources)]


class TestGzip:
    def test_lines_come_as_they_are(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(gzip.compress("\n".join(json.dumps(f"text {n}") for n in range(2000)).encode()))
        assert texts_of(path) == [f"text {n}" for n in range(2000)]

    def test_they_unpack_to_a_hundred_times_the_file_and_some(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.jsonl.gz"
        line = b'"' + b"a" * 2000 + b'"\n'
        path.write_bytes(gzip.compress(line * 1000))
        size = path.stat().st_size
        whole = (len(line) + 256) * 1000
        monkeypatch.setattr(unpacking, "_FREE_BYTES", whole - 100 * size)
        assert len(texts_of(path)) == 1000
        monkeypatch.setattr(unpacking, "_FREE_BYTES", whole - 100 * size - 1)
        message = rf"a.jsonl.gz has {size} bytes and unpacks to more than {whole - 1} bytes: .*unpack it"
        with pytest.raises(ResourceLimitError, match=message):
            texts_of(path)

    def test_a_line_is_no_longer_than_a_chunk_can_be(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(gzip.compress(b'"a"\n"' + b"b" * 97 + b'"\n'))
        monkeypatch.setattr(unpacking, "_LONGEST_LINE", 100)
        assert texts_of(path) == ["a", "b" * 97]
        monkeypatch.setattr(unpacking, "_LONGEST_LINE", 99)
        with pytest.raises(DocumentError, match=r"a.jsonl.gz, line 2: .* 99 bytes"):
            texts_of(path)


def test_a_book_unpacks_to_no_more_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.epub"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="p.opf"/></c>')
        items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(3))
        spine = "".join(f'<itemref idref="c{n}"/>' for n in range(3))
        archive.writestr("p.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        for number in range(3):
            archive.writestr(f"c{number}.xhtml", f"<p>chapter {number}" + " " * 989)
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 3 * 1001 - 100 * path.stat().st_size)
    assert texts_of(path) == ["chapter 0", "chapter 1", "chapter 2"]
    monkeypatch.setattr(unpacking, "_FREE_BYTES", 3 * 1001 - 1 - 100 * path.stat().st_size)
    with pytest.raises(ResourceLimitError, match=r"a\.epub"):
        texts_of(path)


class TestMarkup:
    @pytest.mark.parametrize("opened", ["<a ", "<!--", "<![CDATA[", "<?", "</a ", "<!doctype ", '<a href="'])
    def test_what_is_never_closed_swallows_the_rest_once(self, opened: str) -> None:
        # The parser of Python would look for the end of each of them, 100,000 times through 300 kB: for minutes.
        assert html_to_text("<p>said</p>" + opened * 100_000) == ("", "said")

    @pytest.mark.parametrize("end", ["a &amp; b", "1 < 2", "&", "a&b", "5 &lt;"])
    def test_text_at_the_end_is_kept(self, end: str) -> None:
        expected = end.replace("&amp;", "&").replace("&lt;", "<")
        assert html_to_text(f"<title>t</title><p>{end}") == ("t", expected)


class TestEncodings:
    @pytest.mark.parametrize("name", ["punycode", "idna", "zlib", "hex", "undefined", "unicode_escape", "a\0b", "no"])
    def test_only_those_of_texts_are_known(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="encoding="):
            read_documents([], encoding=name)
        page = tmp_path / "a.html"
        page.write_bytes(b"<meta charset=%s>text" % name.replace("\0", "").encode())
        with pytest.raises(DocumentError, match="unknown encoding"):
            texts_of(page)
