"""Stands for a model that is not at hand, where all vectors that are needed should be there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memvid.errors import ModelMismatchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memvid.types import ModelInfo

__all__ = ["AbsentEmbedder"]


class AbsentEmbedder:
    """An embedder that says which model would be needed."""

    def __init__(self, model: ModelInfo) -> None:
        self.name, self.dim, self.digest = model.name, model.dim, model.digest

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuse.

        :raises ModelMismatchError: always.
        """
        raise ModelMismatchError(
            f"{len(texts)} chunks need the embedding model {self.name!r} (dim {self.dim}), which does not come with "
            "memvid: give it, embedder=..."
        )
