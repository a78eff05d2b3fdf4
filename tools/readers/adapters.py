"""Other readers behind one face: pictures in, and what each hands out of the first code in them."""

from __future__ import annotations

import base64
import importlib
import shutil
import subprocess
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.readers.samples import Sample

__all__ = ["Found", "Reader", "python_readers", "readers_in", "reads_bytes", "reads_texts"]

_HERE = Path(__file__).parent
_NODE_READERS = ("jsQR", "@zxing/library", "html5-qrcode")


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader hands out of a picture.

    :ivar data: bytes; ``None`` from a reader that has only text.
    :ivar text: text; ``None`` from a reader that has only bytes.
    """

    data: bytes | None = None
    text: str | None = None

    def holds(self, payload: bytes) -> bool:
        """Whether the bytes are those; of a text, whether each of its characters is one of them."""
        if self.data is not None:
            return self.data == payload
        return self.text == payload.decode("latin-1")

    def says(self, text: str) -> bool:
        """Whether a person is shown that text."""
        shown = self.data.decode(errors="replace") if self.text is None and self.data is not None else self.text
        return shown == text


class Reader(ABC):
    """A reader of QR codes.

    :ivar name: of the program or package.
    :ivar hands_out: in words, what of it is compared with a payload.
    """

    def __init__(self, name: str, hands_out: str) -> None:
        self.name = name
        self.hands_out = hands_out

    def __repr__(self) -> str:
        return self.name

    @abstractmethod
    def read(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Found]:
        """Read pictures; one without a code that can be read gives a :class:`Found` of nothing."""


class _Library(Reader):
    def __init__(self, name: str, hands_out: str, read_one: Callable[[NDArray[np.uint8]], Found]) -> None:
        super().__init__(name, hands_out)
        self._read_one = read_one

    def read(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Found]:
        return [self._read_one(picture) for picture in pictures]


class _Program(Reader):
    """A command that prints a line for each picture: its bytes and its text, both in base64, or ``-``."""

    def __init__(self, name: str, hands_out: str, command: Sequence[str | Path]) -> None:
        super().__init__(name, hands_out)
        self._command = command

    def read(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Found]:
        with tempfile.TemporaryDirectory() as folder:
            paths = [_write_pgm(Path(folder) / f"{number}.pgm", pixels) for number, pixels in enumerate(pictures)]
            output = subprocess.run([*self._command, *paths], stdout=subprocess.PIPE, check=True, text=True).stdout
        lines = [line.split() for line in output.splitlines()]
        if len(lines) != len(pictures):
            raise RuntimeError(f"{self.name} printed {len(lines)} lines for {len(pictures)} pictures")
        return [Found(_from_base64(data), _text_of(_from_base64(text))) for data, text in lines]


class _Zbarimg(Reader):
    def read(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Found]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "code.pgm"
            return [self._read_file(_write_pgm(path, pixels)) for pixels in pictures]

    def _read_file(self, path: Path) -> Found:
        command = ["zbarimg", "--quiet", "--raw", "--oneshot", "--nodbus", "--set", "disable", "--set", "qr.enable"]
        binary = subprocess.run([*command, "--set", "qr.binary", path], stdout=subprocess.PIPE, check=False)
        text = subprocess.run([*command, path], stdout=subprocess.PIPE, check=False)
        if binary.returncode:
            return Found()
        return Found(binary.stdout, _text_of(text.stdout.removesuffix(b"\n")))


def python_readers() -> list[Reader]:
    """The readers that this Python, or the system, has."""
    readers: list[Reader] = []
    for name, module, hands_out, make in (
        ("zxing-cpp", "zxingcpp", "bytes", _zxing_cpp),
        ("quirc", "quirc", "bytes", _quirc),
        ("rxing", "rxing", "bytes", _rxing),
        ("OpenCV, QRCodeDetector", "cv2", "text, Latin-1", _opencv("QRCodeDetector")),
        ("OpenCV, QRCodeDetectorAruco", "cv2", "text, Latin-1", _opencv("QRCodeDetectorAruco")),
        ("WeChat (OpenCV contrib)", "cv2.wechat_qrcode", "text, up to the first 0", _wechat),
    ):
        try:
            package = importlib.import_module(module.partition(".")[0])
        except ImportError:
            continue
        if "." in module and not hasattr(package, module.partition(".")[2]):
            continue
        readers.append(_Library(name, hands_out, make(package)))
    if shutil.which("zbarimg"):
        readers.append(_Zbarimg("zbar", "bytes"))
    return readers


def readers_in(folder: Path) -> list[Reader]:
    """The readers of Node.js and Java in a folder: ``node_modules``, ``zxing.jar`` and ``boofcv.jar``."""
    readers: list[Reader] = []
    if shutil.which("node"):
        for name in _NODE_READERS:
            package = name.lower()
            if (folder / "node_modules" / package).is_dir():
                hands_out = "text" if name == "html5-qrcode" else "bytes"
                readers.append(_Program(name, hands_out, ["node", _HERE / "read_codes.mjs", folder, package]))
    for name, jar, source, hands_out in (
        ("ZXing (Java)", "zxing.jar", "ReadWithZxing.java", "byte segments"),
        ("BoofCV", "boofcv.jar", "ReadWithBoofcv.java", "text, in Latin-1 when asked"),
    ):
        if shutil.which("java") and (folder / jar).is_file():
            readers.append(_Program(name, hands_out, ["java", "-cp", folder / jar, _HERE / source]))
    return readers


def reads_bytes(reader: Reader, samples: Sequence[Sample]) -> list[bool]:
    """Of each sample, whether the reader hands out its bytes."""
    found = reader.read([sample.pixels for sample in samples])
    return [one.holds(sample.payload) for one, sample in zip(found, samples, strict=True)]


def reads_texts(reader: Reader, samples: Sequence[Sample]) -> list[bool]:
    """Of each sample, whether the reader shows its text."""
    found = reader.read([sample.pixels for sample in samples])
    return [one.says(sample.payload.decode()) for one, sample in zip(found, samples, strict=True)]


def _zxing_cpp(package: Any) -> Callable[[NDArray[np.uint8]], Found]:
    def read(pixels: NDArray[np.uint8]) -> Found:
        codes = package.read_barcodes(pixels, formats=package.BarcodeFormat.QRCode)
        return Found(codes[0].bytes, codes[0].text) if codes else Found()

    return read


def _quirc(package: Any) -> Callable[[NDArray[np.uint8]], Found]:
    def read(pixels: NDArray[np.uint8]) -> Found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of codes that it finds and cannot read
            codes = package.decode(pixels)
        return Found(codes[0][1].payload) if codes else Found()

    return read


def _rxing(package: Any) -> Callable[[NDArray[np.uint8]], Found]:
    decode = package.rxing_lib.decode_luma_pixels

    def read(pixels: NDArray[np.uint8]) -> Found:
        height, width = pixels.shape
        try:
            code = decode(pixels.tobytes(), width, height, {})
        except Exception:  # what it raises has no type of its own
            return Found()
        return Found(bytes(code.raw_bytes), code.text)

    return read


def _opencv(detector: str) -> Callable[[Any], Callable[[NDArray[np.uint8]], Found]]:
    def make(package: Any) -> Callable[[NDArray[np.uint8]], Found]:
        reader = getattr(package, detector)()

        def read(pixels: NDArray[np.uint8]) -> Found:
            data = reader.detectAndDecodeBytes(pixels)[0]
            return Found(text=_text_of(data)) if data else Found()

        return read

    return make


def _wechat(package: Any) -> Callable[[NDArray[np.uint8]], Found]:
    reader = package.wechat_qrcode.WeChatQRCode()

    def read(pixels: NDArray[np.uint8]) -> Found:
        try:
            texts = reader.detectAndDecode(pixels)[0]
        except UnicodeDecodeError as error:  # a caller in C++ gets these bytes
            return Found(error.object)
        return Found(text=texts[0]) if texts else Found()

    return read


def _write_pgm(path: Path, pixels: NDArray[np.uint8]) -> Path:
    height, width = pixels.shape
    path.write_bytes(b"P5\n%d %d\n255\n" % (width, height) + pixels.tobytes())
    return path


def _from_base64(word: str) -> bytes | None:
    return None if word == "-" else base64.b64decode(word)


def _text_of(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")
