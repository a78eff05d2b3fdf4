"""Whether options can be carried out here: asked before anything is read or embedded."""

from __future__ import annotations

from dataclasses import replace

from memvid.config import EncoderConfig
from memvid.errors import ConfigError
from memvid.page import MIN_CAPACITY
from memvid.video import frame_capacity, load_zfec
from memvid.video.codecs.profiles import check_codec

__all__ = ["check_feasible"]


def check_feasible(config: EncoderConfig) -> None:
    """Refuse what would fail only once frames are written.

    :raises ConfigError: this machine cannot write the codec, or the symbols are too small for pages; the message has
        the smallest version that is not.
    :raises DependencyError: the codec or the parity needs a package that is not installed.
    """
    if config.codec != "png":
        check_codec(config.codec)
    if config.parity:
        load_zfec()
    if frame_capacity(config) < MIN_CAPACITY:
        sufficient = next(
            version
            for version in range(1, 41)
            if frame_capacity(replace(config, symbol_version=version)) >= MIN_CAPACITY
        )
        raise ConfigError(
            f"symbol_version={config.symbol_version} with error_correction={config.error_correction!r}"
            f"{' and parity' * bool(config.parity)} is too small for a page: take a higher symbol_version, the "
            f"smallest that holds one is {sufficient}"
        )
