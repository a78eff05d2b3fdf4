from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.documents import Document, Skipped, find_files, read_documents
from memvid.documents.html_text import html_to_text
from memvid.errors import ConfigError, DependencyError, DocumentError, DocumentNotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def read(*paths: str | os.PathLike[str], encoding: str = "utf-8") -> list[Document]:
    return list(read_documents(find_files(paths).sources, encoding=encoding))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestFindFiles:
    def test_a_folder_is_read_sorted_and_its_names_start_with_the_folder(self, tmp_path: Path) -> None:
        for name in ("b.txt", "a.md", "sub/c.rst", "sub/deeper/d"):
            write(tmp_path / "notes" / name, name)
        plan = find_files([tmp_path / "notes"])
        assert [s.name for s in plan.sources] == ["notes/a.md", "notes/b.txt", "notes/sub/c.rst", "notes/sub/deeper/d"]
        assert plan.skipped == ()

    def test_names_from_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "sub/a.txt", "a")
        monkeypatch.chdir(tmp_path)
        assert [source.name for source in find_files(["."]).sources] == ["sub/a.txt"]

    def test_a_name_that_is_not_utf8_is_spelt(self, tmp_path: Path) -> None:
        names = [os.fsdecode(name) for name in (b"caf\xe9.txt", b"caf\xc3\xa9.txt")]
        try:
            files = [write(tmp_path / "notes" / name, "a text") for name in names]
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
        spelt = ["caf\\xe9.txt", "café.txt"]
        for plan, folder in ((find_files(files), ""), (find_files([tmp_path / "notes"]), "notes/")):
            assert {source.name for source in plan.sources} == {folder + name for name in spelt}
        assert [document.metadata["source"] for document in read(*files)] == spelt

    def test_what_is_skipped_is_said(self, tmp_path: Path) -> None:
        hidden = write(tmp_path / ".env", "secret").name
        write(tmp_path / ".git/config", "x")
        write(tmp_path / "image.bin", b"\x89PNG\0\0")
        write(tmp_path / "nothing.txt", "")
        kept = write(tmp_path / "kept.txt", "kept")
        (tmp_path / "dangling").symlink_to(tmp_path / "gone")
        plan = find_files([tmp_path, kept])
        assert [source.path for source in plan.sources] == [kept]
        assert set(plan.skipped) == {
            Skipped(tmp_path / hidden, "hidden"),
            Skipped(tmp_path / ".git", "hidden"),
            Skipped(tmp_path / "image.bin", "binary"),
            Skipped(tmp_path / "nothing.txt", "empty"),
            Skipped(tmp_path / "dangling", "not a file"),
            Skipped(kept, "given twice"),
        }

    def test_zipped_json_lines_are_not_skipped_as_binary(self, tmp_path: Path) -> None:
        for name in ("a.jsonl.gz", "b.NDJSON.GZ", "c.tar.gz"):
            write(tmp_path / name, gzip.compress(b'{"text": "zipped", "n": 1}\n', mtime=0))
        plan = find_files([tmp_path])
        assert [skipped.path.name for skipped in plan.skipped] == ["c.tar.gz"]
        folder = tmp_path.name
        assert list(read_documents(plan.sources)) == [
            Document("zipped", {"source": f"{folder}/{name}", "n": 1}) for name in ("a.jsonl.gz", "b.NDJSON.GZ")
        ]

    def test_damaged_zipped_json_lines(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl.gz", gzip.compress(b'"a"\n' * 99)[:-9])
        with pytest.raises(DocumentError, match=r"a\.jsonl\.gz, behind line \d+: the gzip data is damaged"):
            read(path)

    def test_a_hidden_file_that_is_named_is_read(self, tmp_path: Path) -> None:
        assert [doc.text for doc in read(write(tmp_path / ".notes", "mine"))] == ["mine"]

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentNotFoundError, match=r"gone\.txt: there is no file") as caught:
            find_files([tmp_path / "gone.txt"])
        assert isinstance(caught.value, FileNotFoundError)


class TestText:
    @given(text=st.text(min_size=1).filter(lambda text: text.strip() and not text.startswith("\ufeff")))
    def test_any_text_comes_back_exactly(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        path = write(tmp_path_factory.mktemp("text") / "a.txt", text)
        assert read(path) == [Document(text, {"source": "a.txt"})]

    def test_a_byte_order_mark_is_not_text(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.txt", b"\xef\xbb\xbfhello"))[0].text == "hello"

    def test_another_encoding_is_an_error_that_names_the_byte(self, tmp_path: Path) -> None:
        path = write(tmp_path / "old.txt", b"caf\xe9 au lait")
        with pytest.raises(DocumentError, match=r"old\.txt: byte 3 \(0xe9\) is not utf-8 .*--encoding"):
            read(path)
        assert read(path, encoding="latin-1")[0].text == "café au lait"

    def test_utf16_cut_off(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match="utf-16"):
            read(write(tmp_path / "a.txt", b"\xff\xfea\0b"), encoding="utf-16")

    def test_an_unknown_encoding(self) -> None:
        with pytest.raises(ConfigError, match="klingon"):
            read_documents([], encoding="klingon")

    def test_blank_files_give_nothing(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.txt", " \n\t")) == []

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("für alle".encode())))
        assert read("-") == [Document("für alle", {"source": "stdin"})]

    def test_an_unreadable_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.txt", "a")
        plan = find_files([path])
        path.unlink()
        with pytest.raises(DocumentError, match=r"a\.txt: No such file"):
            list(read_documents(plan.sources))


class TestJson:
    def test_lines(self, tmp_path: Path) -> None:
        lines = [
            {"text": "one", "id": 7},
            {"text": "two", "metadata": {"year": 1999, "tags": ["x"]}, "id": 8},
            {"text": "three", "source": "elsewhere", "metadata": "a string"},
            {"text": "  "},
            "four",
        ]
        path = write(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, lines)) + "\n")
        assert [(doc.text, doc.metadata) for doc in read(path)] == [
            ("one", {"source": "a.jsonl", "id": 7}),
            ("two", {"source": "a.jsonl", "id": 8, "year": 1999, "tags": ["x"]}),
            ("three", {"source": "elsewhere", "metadata": "a string"}),
            ("four", {"source": "a.jsonl"}),
        ]

    def test_lines_are_read_one_by_one(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", '{"text": "good"}\nnot json\n')
        documents = read_documents(find_files([path]).sources)
        assert next(documents).text == "good"
        with pytest.raises(DocumentError, match=r"a\.jsonl, line 2: not JSON"):
            next(documents)

    def test_a_broken_byte_counts_from_the_start_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match=r"byte 18 \(0xff\)"):
            read(write(tmp_path / "a.jsonl", b'{"text": "good"}\n"\xff"\n'))

    @pytest.mark.parametrize("line", ['{"txt": "near"}', '{"text": 5}', "12", "[]", "null", '{"text": "x", "n": NaN}'])
    def test_a_line_without_text_is_an_error(self, tmp_path: Path, line: str) -> None:
        with pytest.raises(DocumentError, match=r"a\.jsonl, line 1: "):
            read(write(tmp_path / "a.jsonl", line))

    def test_deep_nesting_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match="not usable JSON"):
            read(write(tmp_path / "a.json", "[" * 200_000))

    @pytest.mark.parametrize(
        ("value", "texts"),
        [(["a", {"text": "b"}], ["a", "b"]), ({"text": "c", "k": 1}, ["c"]), ({"name": "x"}, ['{"name": "x"}'])],
    )
    def test_a_document(self, tmp_path: Path, value: Any, texts: list[str]) -> None:
        assert [doc.text for doc in read(write(tmp_path / "a.json", json.dumps(value)))] == texts

    def test_a_list_without_texts_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match=r"a\.json, item 1: an object with 'txt'"):
            read(write(tmp_path / "a.json", '["a", {"txt": "b"}]'))


class TestCsv:
    def test_a_text_column(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", 'id,text\n1,"two\nlines"\n2,plain\n')
        assert [(doc.text, doc.metadata["id"]) for doc in read(path)] == [("two\nlines", "1"), ("plain", "2")]

    def test_tabs(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.tsv", "text\tk\na, b\tv\n"))[0] == Document(
            "a, b", {"source": "a.tsv", "k": "v"}
        )

    def test_without_a_text_column_it_is_plain_text(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.csv", "a,b\n1,2\n"))[0].text == "a,b\n1,2\n"

    @pytest.mark.parametrize("content", ["text,k\na,b,c\n", "text,k\na\n", 'text\n"a'])
    def test_a_broken_table(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(DocumentError, match=r"a\.csv, line \d"):
            read(write(tmp_path / "a.csv", content))


class TestHtml:
    PAGE = """<!doctype html><html><head><title>The  tide</title><style>p {color: red}</style></head><body>
      <h1>Tides</h1><p>Twice a <b>day</b>,\n  the sea &amp; the moon.<p>Second<br>line.
      <ul><li>ebb</li><li>flow</li></ul><script>alert("no")</script>
      <table><tr><td>high</td><td>6:00</td></tr></table><pre>  kept
    as is</pre></body></html>"""

    def test_text_is_what_is_seen(self) -> None:
        title, text = html_to_text(self.PAGE)
        assert title == "The tide"
        assert text.split("\n") == [
            *("Tides", "", "Twice a day, the sea & the moon.", "", "Second", "line.", "", "- ebb", "- flow", ""),
            *("high\t6:00\t", "", "  kept", "    as is"),
        ]

    def test_title_is_metadata(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.html", self.PAGE))[0].metadata == {"source": "a.html", "title": "The tide"}

    def test_a_declared_encoding_counts(self, tmp_path: Path) -> None:
        page = b'<meta charset="iso-8859-1"><p>caf\xe9'
        assert read(write(tmp_path / "a.htm", page))[0].text == "café"
        with pytest.raises(DocumentError, match="klingon"):
            read(write(tmp_path / "b.htm", b"<meta charset=klingon>x"))

    @given(st.lists(st.sampled_from(["<p>", "</p>", "<li>", "<td>", "</td>", "<pre>", "</pre>", " ", "\n", "a", "<"])))
    def test_any_markup_keeps_the_letters(self, parts: list[str]) -> None:
        html = "".join(parts)
        assert html_to_text(html)[1].count("a") <= html.count("a")
        assert html_to_text("x" + html.replace("<", " ").replace(">", " "))[1].count("a") >= parts.count("a")

    def test_an_unclosed_head_hides_nothing_of_the_body(self) -> None:
        assert html_to_text("<head><title>t</title><body>seen")[1] == "seen"


def make_epub(path: Path, chapters: dict[str, str], spine: list[str]) -> Path:
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in chapters)
    refs = "".join(f'<itemref idref="{name}"/>' for name in spine)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "OPS/book.opf",
            f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{refs}</spine></package>',
        )
        for name, content in chapters.items():
            archive.writestr(f"OPS/{name}", content)
    return path


def make_pdf(path: Path, texts: list[str]) -> Path:
    """A small PDF, object by object: catalog, page tree, font, then page and content for each text."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(texts)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(texts)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(texts):
        content = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    body, offsets = "%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{item}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    body += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    return write(path, body)


class TestBooks:
    def test_epub_chapters_come_in_reading_order(self, tmp_path: Path) -> None:
        chapters = {"a.xhtml": "<p>Last</p>", "b.xhtml": "<head><title>One</title></head><p>First</p>"}
        found = read(make_epub(tmp_path / "book.epub", chapters, ["b.xhtml", "a.xhtml"]))
        assert [doc.text for doc in found] == ["First", "Last"]
        assert found[0].metadata == {"source": "book.epub", "title": "One"}

    def test_epub_is_found_in_a_folder(self, tmp_path: Path) -> None:
        make_epub(tmp_path / "book.epub", {"a": "<p>x</p>"}, ["a"])
        assert [doc.text for doc in read(tmp_path)] == ["x"]

    def test_broken_epubs(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match="not a readable EPUB"):
            read(write(tmp_path / "a.epub", "no zip"))
        with pytest.raises(DocumentError, match="missing item 'gone'"):
            read(make_epub(tmp_path / "b.epub", {"a": "x"}, ["gone"]))

    def test_pdf_pages(self, tmp_path: Path) -> None:
        pytest.importorskip("pypdf")
        found = read(make_pdf(tmp_path / "a.pdf", ["The first page", "", "The third page"]))
        assert [(doc.text.strip(), doc.metadata) for doc in found] == [
            ("The first page", {"source": "a.pdf", "page": 1}),
            ("The third page", {"source": "a.pdf", "page": 3}),
        ]

    def test_pdf_without_text_or_broken(self, tmp_path: Path) -> None:
        pytest.importorskip("pypdf")
        with pytest.raises(DocumentError, match="no page has text"):
            read(make_pdf(tmp_path / "scan.pdf", [""]))
        with pytest.raises(DocumentError, match="not a readable PDF"):
            read(write(tmp_path / "b.pdf", "no pdf"))

    def test_pdf_without_pypdf_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pypdf", None)
        with pytest.raises(DependencyError, match=r'pip install "memvid\[documents\]"'):
            read(make_pdf(tmp_path / "a.pdf", ["text"]))


def test_a_link_to_a_folder_is_counted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in ("notes", "elsewhere"):
        (tmp_path / folder / "a.txt").write_text("text")
    (tmp_path / "notes" / "link").symlink_to(tmp_path / "elsewhere")
    plan = find_files([tmp_path / "notes"])
    assert [source.name for source in plan.sources] == ["notes/a.txt"]
    assert [(skipped.path.name, skipped.reason) for skipped in plan.skipped] == [("link", "a link to a folder")]
    assert [source.name for source in find_files([tmp_path / "notes" / "link"]).sources] == ["link/a.txt"]
