"""Which frame a bare text is in, and which chunk it is, where no page table says so: only what is certain counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.page import ChunkIds, ChunkRanges, HeaderInfo, PageKind
from memvid.video.bare_texts import (
    LOST_RUNS,
    PageRow,
    Shown,
    TextZone,
    find_zones,
    number_texts,
    place_texts,
    take_cover,
)

HEADER, COMMIT = PageRow(PageKind.HEADER, 0, 0), PageRow(PageKind.COMMIT, 0, 0)


def attributes(first: int, count: int) -> PageRow:
    return PageRow(PageKind.ATTRIBUTES, first, count)


def make_info(chunks: int, *, next_chunk: int | None = None, version: int = 2) -> HeaderInfo:
    return HeaderInfo(
        memory_id=64 * "0", chunks=chunks, text_bytes=0, symbol_version=10, error_correction="L", bare=True,
        compression="none", next_chunk=next_chunk, format_version=version,
    )  # fmt: skip


def zone(start: int, ids: range, size: int | None = None) -> TextZone:
    return TextZone(start, len(ids), ChunkIds.of(ids), size)


def tell(zones: list[TextZone]) -> list[tuple[int, int, ChunkRanges | None, int | None]]:
    return [(zone.start, zone.count, None if zone.ids is None else zone.ids.ranges, zone.size) for zone in zones]


def show(what: str) -> list[Shown]:
    """Pictures: digits are page numbers, letters texts, a dot is one that cannot be read."""
    return [
        Shown(int(sign)) if sign.isdigit() else Shown(None) if sign == "." else Shown(None, sign, 1) for sign in what
    ]


@pytest.mark.parametrize(
    ("shown", "placed"),
    [
        ("0abc4", {1: "a", 2: "b", 3: "c"}),
        ("0abb4", {1: "a", 2: "b", 3: "b"}),  # nothing is out of place, so these are two that are the same
        ("0abb46", {}),  # something is: one of them may be shown in the place of another
        ("0abbc4", {1: "a", 2: "b", 3: "c"}),  # one is shown twice
        ("00aabbcc44", {1: "a", 2: "b", 3: "c"}),
        ("0ac4", {}),  # one is not there, and nothing says which
        ("0a.c4", {1: "a", 3: "c"}),  # it is there, and cannot be read
        ("0abc4de7", {1: "a", 2: "b", 3: "c", 5: "d", 6: "e"}),
        ("0ab4de7", {5: "d", 6: "e"}),
        ("4abc0", {}),
        ("abc", {}),
    ],
)
def test_texts_between_two_pages(shown: str, placed: dict[int, str]) -> None:
    assert {frame: shown[at] for frame, at in place_texts(show(shown), []).items()} == placed


def test_as_many_pictures_as_before_in_a_film_prove_nothing() -> None:
    assert place_texts(show("0abb4"), [], filmed=True) == {}
    assert place_texts(show("0abb4"), [zone(1, range(3), 3)], filmed=True) == {1: 1, 2: 2, 3: 3}
    assert place_texts(show("0abb4"), [zone(1, range(3), 4)], filmed=True) == {}


def test_texts_behind_the_last_page_are_as_many_as_it_says() -> None:
    zones = [zone(1, range(3), 3)]
    assert place_texts(show("0abc"), zones) == {1: 1, 2: 2, 3: 3}
    assert place_texts(show("0ab"), zones) == {}
    assert place_texts(show("0abcd"), zones) == {}
    assert place_texts(show("0aabbcc"), zones) == {1: 1, 2: 3, 3: 5}
    assert place_texts(show("0abcd"), zones, grows=True) == {1: 1, 2: 2, 3: 3, 4: 4}


def test_they_have_as_many_bytes_as_it_says() -> None:
    assert place_texts(show("0abc"), [zone(1, range(3), 4)]) == {}  # they are others
    assert place_texts(show("0abcd"), [zone(1, range(3), 4)], grows=True) == {}
    assert place_texts(show("0a.c"), [zone(1, range(3), 9)]) == {1: 1, 3: 3}
    assert place_texts(show("0a.c"), [zone(1, range(3), 1)]) == {}


def test_the_front_holds_no_texts() -> None:
    zones = [zone(2, range(3), 3)]
    assert place_texts(show("abc5"), zones) == {}
    assert place_texts(show("abc5"), zones, front=2) == {2: 0, 3: 1, 4: 2}
    assert place_texts(show("abc"), zones, front=2) == {2: 0, 3: 1, 4: 2}
    assert place_texts(show("aabbcc5"), zones, front=2) == {2: 0, 3: 2, 4: 4}
    assert place_texts(show("xbc5"), [zone(2, range(3), 9)], front=2) == {}  # the first one is none of them
    assert place_texts(show("ac5"), zones, front=2) == {}


def test_a_cover_is_no_text() -> None:
    assert take_cover(show("xxab4"), "x") == [Shown(0), Shown(0), *show("ab4")]
    assert take_cover(show("0xab4"), "x") == show("0xab4")
    shown = take_cover(show("xab5"), "x")
    assert place_texts(shown, [zone(2, range(3), 3)], front=2) == {}


def test_zones_are_what_header_page_and_commits_say() -> None:
    added = {7: range(9, 13)}
    for pages in ([0, 6], [0, 6, 11]):
        found = find_zones(make_info(5), 1, added, pages)
        assert tell(found) == [(1, 5, ((0, 4),), 0), (7, 4, ((9, 12),), None)]
    found = find_zones(make_info(5, next_chunk=9), 1, added, [0, 6])
    assert tell(found) == [(1, 5, None, 0), (7, 4, ((9, 12),), None)]
    assert find_zones(None, 0, {}, []) == []


def test_where_a_page_is_too_early_there_is_no_zone() -> None:
    added = {7: range(9, 13)}
    assert [zone.start for zone in find_zones(make_info(6), 1, added, [0, 6])] == [7]
    assert [zone.start for zone in find_zones(make_info(5), 1, added, [0, 6, 10])] == [1]


def test_what_a_repair_has_left_out_is_not_in_a_zone() -> None:
    added = {6: range(9, 13)}
    lost = ((2, 2), (12, 12))
    found = find_zones(replace(make_info(5), lost=lost), 1, added, [0, 5])
    assert tell(found) == [(1, 4, ((0, 1), (3, 4)), None), (6, 3, ((9, 11),), None)]
    assert number_texts([1, 2, 3, 4, 8], {0: HEADER, 5: COMMIT}, found) == {1: 0, 2: 1, 3: 3, 4: 4, 8: 11}
    assert tell(find_zones(replace(make_info(5, next_chunk=20), lost=lost), 1, added, [0, 5]))[0][0] == 6
    many = tuple((chunk, chunk) for chunk in range(0, 2 * LOST_RUNS, 2))
    assert find_zones(replace(make_info(9999), lost=many), 1, {}, [0]) == []  # some that are there may be among them


def test_ids_count_up_in_zones_whatever_is_lost() -> None:
    zones = [zone(1, range(5)), zone(7, range(9, 13))]
    assert number_texts([1, 4, 8, 10], {0: HEADER, 6: COMMIT}, zones) == {1: 0, 4: 3, 8: 10, 10: 12}


def test_ids_with_gaps_are_those_of_the_pages_of_metadata() -> None:
    pages = {0: HEADER, 4: attributes(3, 2), 5: attributes(9, 1)}
    assert number_texts([1, 2, 3], pages, []) == {1: 3, 2: 4, 3: 9}
    assert number_texts([2, 3], pages, []) == {}  # the first may be any of them
    del pages[5]  # and so it is where a page of metadata is lost
    assert number_texts([1, 2, 3], pages, []) == {}


def test_texts_that_no_commit_tells_of_count_on() -> None:
    zones = find_zones(make_info(2, version=1), 1, {}, [0, 4])
    pages = {0: HEADER, 4: PageRow(PageKind.TOMBSTONES, 0, 0)}
    assert number_texts([1, 2, 3, 5], pages, zones, grows=True) == {1: 0, 2: 1, 3: 2, 5: 3}
    assert number_texts([1, 2, 5], pages, zones, grows=True) == {1: 0, 2: 1}
    assert number_texts([1, 2, 3, 5], pages, zones) == {1: 0, 2: 1}


@given(
    appends=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=4),
    built=st.integers(0, 6),
    lost=st.sets(st.integers(0, 40), max_size=6),
    doubled=st.sets(st.integers(0, 40), max_size=6),
    copied=st.booleans(),
)
def test_no_text_ever_gets_the_id_of_another(
    appends: list[tuple[int, bool]], built: int, lost: set[int], doubled: set[int], *, copied: bool
) -> None:
    """A memory of texts that all differ, some of whose pictures are lost or doubled.

    Not one and another of the same append, of which nothing says how many bytes it has, nor the page of an append.
    """
    rows: list[PageRow | int] = [HEADER, *range(built), *([HEADER] if copied else [])]  # a text is its id
    added: dict[int, range] = {}
    for count, described in appends:
        first = sum(isinstance(row, int) for row in rows)
        rows.append(COMMIT)
        added[len(rows)] = range(first, first + count)
        rows += range(first, first + count)
        if described and count:
            rows.append(attributes(first, count))
    lost -= {behind - 1 for behind in added}
    left = [
        frame
        for frame in range(len(rows))
        if frame not in lost
        for _ in range(1 + (frame in doubled and (not lost or frame <= built)))
    ]
    pages = {frame: row for frame in left if isinstance(row := rows[frame], PageRow)}
    info = replace(make_info(built), text_bytes=sum(range(built)))
    header = info if HEADER in pages.values() else None
    zones = find_zones(header, 1, added, sorted(pages))
    shown = [Shown(frame) if not isinstance(row := rows[frame], int) else Shown(None, row, row) for frame in left]
    placed = place_texts(shown, zones, front=0 if header is None else 1)
    ids = number_texts(sorted(placed), pages, zones)
    assert all(shown[placed[frame]].text == chunk for frame, chunk in ids.items())
    if not lost:
        assert len(ids) == sum(isinstance(row, int) for row in rows)
