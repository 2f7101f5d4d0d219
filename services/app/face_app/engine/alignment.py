"""Cuts faces out, turned and scaled as the encoder was trained to see them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face_app.recognition import Image

Points = NDArray[np.float64]
"""Shape (n, 2): x and y in pixels."""

CHIP_SIZE = 150
"""Side of an aligned face in pixels, as the network takes it."""
PADDING = 0.25
"""face_recognition's: how much around the face a chip shows, as a share of the face's side."""

# dlib's mean face (its five landmarks in get_face_chip_details), as shares of the face's side.
_DLIB_MEAN = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)
# YuNet's mean face in the same frame: its eyes, nose tip and corners of the mouth as they lie in faces that were
# aligned by dlib's landmarks.
_YUNET_MEAN = np.array(
    [
        (0.2248, 0.1983),
        (0.7821, 0.2077),
        (0.5026, 0.5232),
        (0.2641, 0.7649),
        (0.7372, 0.7706),
    ]
)


def to_chip(landmarks: Points, points: Points, padding: float = PADDING) -> Points:
    """The similarity (2, 3) that leads from the photo to a chip, by least squares over dlib's and YuNet's points.

    Either may be empty. Ten points of two models that err differently align better than five (docs/adr/0010).
    """
    mean = np.concatenate([_DLIB_MEAN[: len(landmarks)], _YUNET_MEAN[: len(points)]])
    target = (padding + mean) / (2 * padding + 1) * CHIP_SIZE
    return _similarity(np.concatenate([landmarks.reshape(-1, 2), points.reshape(-1, 2)]), target)


def _similarity(source: Points, target: Points) -> Points:
    """Scale, rotation and shift that lead from source to target with the least squared error, without reflection.

    In complex numbers a similarity is z -> a z + b, so the least-squares fit is a division.
    """
    z, w = source @ (1, 1j), target @ (1, 1j)
    from_mean = z - z.mean()
    spread = max(float(np.vdot(from_mean, from_mean).real), 1e-9)  # all points at one place: any scale will do
    a = np.vdot(from_mean, w - w.mean()) / spread
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def cut(image: Image, to_chip: Points) -> Image:
    """The chip; a face much larger than it is averaged rather than sampled."""
    scale = float(np.hypot(to_chip[0, 0], to_chip[1, 0]))
    if scale < 0.5:
        image, to_chip = _reduced(image, to_chip, scale)
    chip: Image = cv2.warpAffine(image, to_chip, (CHIP_SIZE, CHIP_SIZE), flags=cv2.INTER_LINEAR)
    return chip


def _reduced(image: Image, to_chip: Points, scale: float) -> tuple[Image, Points]:
    """The part of the photo that the chip shows, reduced to about its size, and the similarity from there."""
    inverse = cv2.invertAffineTransform(to_chip)
    corners = np.array([(0, 0, 1), (CHIP_SIZE, 0, 1), (0, CHIP_SIZE, 1), (CHIP_SIZE, CHIP_SIZE, 1)]) @ inverse.T
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)), image.shape[1::-1]).astype(int)
    if right <= left or bottom <= top:
        return image, to_chip
    part = image[top:bottom, left:right]
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    reduced: Image = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    factors = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
    # Pixel centres: x_part = (x_reduced + 1/2) * factor - 1/2.
    matrix = to_chip[:, :2] * factors
    shift = to_chip[:, 2] + to_chip[:, :2] @ (np.array([left, top]) + (factors - 1) / 2)
    return reduced, np.column_stack([matrix, shift])
