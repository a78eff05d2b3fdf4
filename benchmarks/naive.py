"""What one would write in Python to read a memory: OpenCV for the frames, the zxing-cpp wheel for the codes."""

from __future__ import annotations

import cv2
import zxingcpp

from memvid.page import PageDecompressor, PageKind, open_blob, open_run
from memvid.video import VideoReader

__all__ = ["NaiveReader"]


class NaiveReader:
    """Reads pages by ``CAP_PROP_POS_FRAMES``, ``read`` and ``read_barcodes``, told that the codes are perfect.

    :param video: the same video, which says where the dictionary is.
    """

    def __init__(self, video: VideoReader) -> None:
        self._capture = cv2.VideoCapture(video.path)
        frames = video.table.frames_of_kind(PageKind.DICTIONARY)
        run = list(video.table.run_of(int(frames[0]))) if len(frames) else []
        dictionary = open_blob(PageKind.DICTIONARY, video.read(run), first_frame=run[0]) if run else None
        self._decompressor = PageDecompressor(dictionary)

    def pages(self, frames: list[int]) -> list[list[str]]:
        """The texts in each frame."""
        return [self._page(frame) for frame in frames]

    def texts(self, frames: list[int]) -> list[str]:
        """The texts in all frames."""
        return [text for frame in frames for text in self._page(frame)]

    def _page(self, frame: int) -> list[str]:
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, frame)
        ok, image = self._capture.read()
        assert ok
        codes = zxingcpp.read_barcodes(
            image[:, :, 0],
            formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode),
            is_pure=True,
            binarizer=zxingcpp.Binarizer.FixedThreshold,
        )
        _, page = open_run([codes[0].bytes], self._decompressor, first_frame=frame)
        return [page.text(slot) for slot in range(len(page))]
