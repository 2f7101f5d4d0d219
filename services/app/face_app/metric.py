"""How far apart two encodings are. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_common.templates import DIMENSIONS, Encodings


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """The angle between encodings after a linear map W, told as the chord between unit vectors: 0 to 2."""

    name: str
    matrix: Encodings
    """W^T W: (128, 128), symmetric. W itself is not needed, since (W u).(W c) = u.(W^T W c)."""

    @classmethod
    def plain(cls) -> "Metric":
        """The angle between the encodings as they are."""
        return cls("plain", np.eye(DIMENSIONS, dtype=np.float32))

    @classmethod
    def whitened(cls, name: str, whitening: Encodings) -> "Metric":
        """The angle after this map W, (k, 128)."""
        wide = whitening.astype(np.float64)
        return cls(name, (wide.T @ wide).astype(np.float32))

    def lengths(self, vectors: Encodings) -> NDArray[np.float32]:
        """|W v| of vectors (n, 128): (n,)."""
        squares: NDArray[np.float32] = np.einsum("nd,nd->n", vectors @ self.matrix, vectors)
        return np.sqrt(np.maximum(squares, np.float32(0)))

    def directions(self, vectors: Encodings) -> Encodings:
        """Vectors v (n, 128) scaled to v / |W v|; zeros where that has no direction."""
        lengths = self.lengths(vectors)[:, None]
        return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
