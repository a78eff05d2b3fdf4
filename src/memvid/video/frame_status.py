"""Why a frame cannot be read, by the status that the native readers give it."""

from __future__ import annotations

__all__ = ["NO_PICTURE", "REASONS", "UNREADABLE", "WRONG"]

NO_PICTURE, WRONG, UNREADABLE = 2, 4, 6

REASONS = {
    1: "the file ends inside it",
    NO_PICTURE: "it is a damaged picture, or not a picture of the video's size",
    3: "no QR code in it can be read",
    WRONG: "its QR code holds something else than was written there: the checksum differs",
    5: "it is not in the video any more, or cannot be decoded",
    UNREADABLE: "the disk does not give it: a bad sector, or a drive that is gone",
}
