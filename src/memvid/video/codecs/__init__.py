"""Videos in other codecs than our own: pictures of QR codes into one, and out of one again. docs/codecs.md."""

from __future__ import annotations

from memvid.video.codecs.decoding import decode_pictures
from memvid.video.codecs.frames import Frames, PictureVideo, native_source, open_frames, payloads_of, refuse_index
from memvid.video.codecs.profiles import PROFILES, CodecProfile, available_codecs, check_codec
from memvid.video.codecs.sources import EveryPicture, PictureSource, open_pictures
from memvid.video.codecs.writing import PictureWriter

__all__ = [
    "PROFILES",
    "CodecProfile",
    "EveryPicture",
    "Frames",
    "PictureSource",
    "PictureVideo",
    "PictureWriter",
    "available_codecs",
    "check_codec",
    "decode_pictures",
    "native_source",
    "open_frames",
    "open_pictures",
    "payloads_of",
    "refuse_index",
]
