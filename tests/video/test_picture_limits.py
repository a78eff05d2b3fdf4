"""How large and how many pictures of other codecs may be, and how long the detector may look at them in vain."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from memvid import _core
from memvid.errors import ResourceLimitError, VideoFormatError
from memvid.video.codecs import decode_pictures, decoding, picture_limits
from memvid.video.codecs.counting import Counting
from memvid.video.codecs.decoding import batches
from memvid.video.codecs.writing import draw_symbol, picture_side
from tests.video.test_codecs import OPTIONS, VERSION, need, write
from tests.video.video_support import make_pages


class TestDetector:
    """It takes seconds for a picture that is made to look like many symbols."""

    def test_the_detector_looks_in_vain_no_longer_than_it_may(self) -> None:
        page, other = make_pages(2)
        turned, twice = (
            np.ascontiguousarray(np.rot90(draw_symbol(each, OPTIONS, 4, picture_side(VERSION, 4))))
            for each in (page, other)
        )  # nothing but the detector reads these
        white = np.full((64, 64), 255, np.uint8)
        budget = _core.DetectionBudget(1)
        pictures = [turned, twice, white, turned, twice]
        payloads, statuses = decode_pictures(pictures, budget=budget, threads=1)
        assert (payloads, statuses.tolist()) == ([page, other, None, None, None], [0, 0, 3, 3, 3])
        assert decode_pictures([turned], budget=budget)[0] == [None]  # the budget goes from call to call
        assert decode_pictures([turned])[0] == [page]

    def test_the_detector_looks_at_a_picture_once_in_vain(self) -> None:
        page = make_pages(1)[0]
        turned = np.ascontiguousarray(np.rot90(draw_symbol(page, OPTIONS, 4, picture_side(VERSION, 4))))
        white = np.full_like(turned, 255)
        shown = [white, turned]
        budget = _core.DetectionBudget(3 * white.size)  # as it is, and as a player shows it
        reader = _core.PictureReader(lambda wanted: [shown[at] for at in wanted], 2, budget=budget)
        for _ in range(5):
            assert reader.read(np.array([0]))[0] == [None]
        assert reader.read(np.array([1]))[0] == [page]  # there is budget left


def test_a_damaged_picture_is_read_as_a_player_shows_it() -> None:
    """Its luma goes beyond the range of video, from 16 to 235: a decoder built it on the wrong picture."""
    picture = cv2.imread(str(Path(__file__).with_name("damaged_picture.png")), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    luma = np.asarray(picture, np.uint8)
    assert _core.read_symbol(luma) is None
    ((payload,), _) = decode_pictures([luma])
    assert payload is not None
    assert payload.startswith(b"backup night failure disk")


class TestLargePictures:
    """A few kB of a codec are a hundred MB of white pictures."""

    @pytest.mark.parametrize("size", [(4098, 16), (3200, 3200)])
    def test_they_are_refused_before_any_is_decoded(self, opener: Any, tmp_path: Path, size: tuple[int, int]) -> None:
        path = tmp_path / "large.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 30, size)
        writer.write(np.full((size[1], size[0], 3), 255, np.uint8))
        writer.release()
        with pytest.raises(VideoFormatError, match=f"pictures of {size[0]} x {size[1]} pixels, the limit is"):
            opener(str(path))

    def test_few_of_them_are_in_memory_at_a_time(self) -> None:
        large, small = np.zeros((2048, 4096), np.uint8), np.zeros((64, 64), np.uint8)
        assert [len(batch) for batch in batches([large] * 9)] == [4, 4, 1]
        assert [len(batch) for batch in batches([small, None] * 40)] == [64, 16]
        asked: list[int] = []

        def fetch(wanted: list[int]) -> list[None]:
            asked.append(len(wanted))
            return [None] * len(wanted)

        _core.PictureReader(fetch, 9, batch=4).read(np.arange(9))
        assert asked == [4, 4, 1]


class TestManyPictures:
    """Frames in which nothing moves take 30 bytes, however large they are."""

    def test_pixels_are_counted(self, opener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        need("h264")
        path = write(tmp_path / "m.mp4", make_pages(20), codec="h264")
        source = opener(str(path))
        pixels = source.width * source.height
        source.close()
        size = path.stat().st_size
        monkeypatch.setattr(picture_limits, "_PIXELS_A_BYTE", 0)
        monkeypatch.setattr(picture_limits, "_ALL_PIXELS", 20 * pixels)
        with closing(opener(str(path))) as source:
            assert len(list(source.pictures())) == 20
        monkeypatch.setattr(picture_limits, "_ALL_PIXELS", 20 * pixels - 1)
        message = f"has {size} bytes and more than .* pixels.*`ffmpeg -i {path} -vf mpdecimate"
        with pytest.raises(ResourceLimitError, match=message):  # at once, where the container says how many
            list(opener(str(path)).pictures())

    def test_a_picture_that_is_shown_again_is_read_once(self, tmp_path: Path) -> None:
        pages = make_pages(3)
        first, second, third = (draw_symbol(page, OPTIONS, 4, picture_side(VERSION, 4)) for page in pages)
        shown = [first] * 70 + [second, None, second, first] + [third] * 2

        class Shown:
            detection_budget = _core.DetectionBudget(0)

            def pictures(self) -> Any:
                return iter(shown)

        expected = [pages[0]] * 70 + [pages[1], None, pages[1], pages[0]] + [pages[2]] * 2
        counted: list[int] = []
        decode = decoding.decode_pictures

        def note(pictures: Any, **options: Any) -> Any:
            counted.append(len(pictures))
            return decode(pictures, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "decode_pictures", note)
            assert list(decoding.read_payloads(Shown())) == expected
        assert counted == [1, 5]  # of 64 and of 12

    def test_counting_goes_on_where_it_stopped(self) -> None:
        begun: list[Any] = []

        def pictures() -> Any:
            begun.append(iter(range(10)))
            return begun[-1]

        counting = Counting(pictures)
        assert counting.fetch([1, 3]) == [1, 3]
        assert counting.fetch([4, 7, 7]) == [4, 7, 7]
        assert (len(begun), next(begun[0])) == (1, 8)
        assert counting.fetch([2, 12]) == [2, None]
        assert len(begun) == 2
        counting.stop()
        assert counting.fetch([0]) == [0]
