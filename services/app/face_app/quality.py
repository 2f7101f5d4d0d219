"""What makes a face fit for recognition. Pure.

The limits come from faces that were reduced and blurred step by step (docs/adr/0010): a face of 30 pixels or a
sharpness of 5 still is its owner's, but beyond that true matches fall away and, worse, strangers come nearer.
"""

from dataclasses import dataclass
from typing import Literal

from face_app.recognition import FaceReading

Reason = Literal["small", "blurred", "turned"]

_DOUBTFUL_SIDE, _LEAST_SIDE = 40, 20  # pixels
_DOUBTFUL_SHARPNESS, _LEAST_SHARPNESS = 8.0, 3.0
_DOUBTFUL_YAW = 0.5


@dataclass(frozen=True, slots=True)
class EnrolmentLimits:
    """What a photo must offer to be enrolled."""

    side: int = 30
    """Smallest shorter side of the face's box, in pixels."""
    sharpness: float = 5.0
    """Smallest variance of the Laplacian over the aligned face."""
    yaw: float = 0.75
    """How far the face may look aside; 1 is a profile."""


def reasons(face: FaceReading) -> list[Reason]:
    """Why a decision about this face deserves less trust."""
    faults: dict[Reason, bool] = {
        "small": face.rectangle.side < _DOUBTFUL_SIDE,
        "blurred": face.sharpness < _DOUBTFUL_SHARPNESS,
        "turned": abs(face.yaw) > _DOUBTFUL_YAW,
    }
    return [reason for reason, holds in faults.items() if holds]


def is_fit(face: FaceReading) -> bool:
    """Whether the face may be named at all."""
    return face.rectangle.side >= _LEAST_SIDE and face.sharpness >= _LEAST_SHARPNESS
