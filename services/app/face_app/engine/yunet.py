"""YuNet, a small convolutional face detector (Wu, Peng and Yu, 2023), run by ONNX Runtime."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face_app.engine.sessions import single_threaded
from face_app.engine.weights import STRIDES
from face_app.recognition import Image

Rows = NDArray[np.float32]
"""Shape (n, 15), a face each: left, top, width, height, five points (eyes, nose tip, corners of the mouth), score."""

OVERLAP = 0.3
"""Boxes whose intersection is more than this share of their union show the same face."""
SCORE = 14
"""The score's column."""
_DIVISOR = max(STRIDES)  # the network halves its input five times
_MOST_CANDIDATES = 5000  # bounds the time that a hostile picture can take
_MOST_FACES = 1000  # in one look
_MOST_LOG_SIDE = np.float32(10)  # far beyond any photo, and no overflow


class YuNet:
    """The network at whatever size an image has. Serves one thread."""

    def __init__(self, model: Path) -> None:
        self._session = single_threaded(model, varying=True)
        self._buffer = np.empty(0, dtype=np.float32)  # kept: fresh memory costs a page fault for each 4 KiB

    def look(self, image: Image, least: float) -> Rows:
        """Faces that score at least so much, the surest first, one row each; in the image's pixels."""
        maps = self._session.run(None, {"image": self._planes(image)})
        found = np.concatenate([decoded(map_[0], stride, least) for map_, stride in zip(maps, STRIDES, strict=True)])
        return suppressed(found)[:_MOST_FACES]

    def _planes(self, image: Image) -> NDArray[np.float32]:
        """As the network takes it, (1, 3, height, width): black right and below, up to the next multiples of 32."""
        height, width = image.shape[:2]
        padded_height, padded_width = (-(-side // _DIVISOR) * _DIVISOR for side in (height, width))
        size = 3 * padded_height * padded_width
        if self._buffer.size < size:
            self._buffer = np.empty(size, dtype=np.float32)
        planes = self._buffer[:size].reshape(1, 3, padded_height, padded_width)
        planes[0, :, height:] = 0
        planes[0, :, :height, width:] = 0
        for plane, channel in zip(planes[0], cv2.split(image), strict=True):
            plane[:height, :width] = channel
        return planes


def decoded(cells: NDArray[np.float32], stride: int, least: float) -> Rows:
    """The faces that one of the network's maps tells of: shape (16, rows, columns), a cell of `stride` pixels each.

    A cell has the logits of its two probabilities (that it belongs to a face, and how well its box lies), the box's
    centre from the cell's corner and the logarithms of its sides, and the five points; all in strides.
    """
    squared = least**2  # a score is the geometric mean of the two, so neither may be below this
    floor = np.log(squared / (1 - squared))
    row, column = np.nonzero((cells[0] >= floor) & (cells[1] >= floor))
    values = cells[:, row, column].T
    scores = np.sqrt(_probability(values[:, 0]) * _probability(values[:, 1]))
    corners = np.column_stack([column, row]).astype(np.float32)
    sides = np.exp(np.minimum(values[:, 4:6], _MOST_LOG_SIDE))
    lefts_and_tops = corners + values[:, 2:4] - sides / 2
    points = (values[:, 6:].reshape(-1, 5, 2) + corners[:, None]).reshape(-1, 10)
    places = np.hstack([lefts_and_tops, sides, points]) * np.float32(stride)
    rows: Rows = np.column_stack([places, scores])[scores >= least]
    return rows


def _probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(1) / (np.float32(1) + np.exp(-logits))


def suppressed(rows: Rows) -> Rows:
    """One row a face, the surest first: a row goes where a surer one has the same place."""
    rest = rows[np.argsort(-rows[:, SCORE], kind="stable")[:_MOST_CANDIDATES]]
    kept = [rest[:0]]
    while len(rest):
        kept.append(rest[:1])
        rest = rest[1:][overlaps(rest[:1], rest[1:])[0] <= OVERLAP]
    return np.concatenate(kept)


def overlaps(ones: Rows, others: Rows) -> NDArray[np.float32]:
    """Intersection over union of each box with each: shape (ones, others)."""
    starts = np.maximum(ones[:, None, :2], others[:, :2])
    ends = np.minimum(ones[:, None, :2] + ones[:, None, 2:4], others[:, :2] + others[:, 2:4])
    shared = np.clip(ends - starts, 0, None).prod(axis=2)
    union = ones[:, 2:4].prod(axis=1)[:, None] + others[:, 2:4].prod(axis=1) - shared
    ratios: NDArray[np.float32] = shared / np.maximum(union, np.float32(1e-9))
    return ratios
