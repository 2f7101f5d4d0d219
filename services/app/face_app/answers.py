"""What results say about what was read and decided. Pure."""

from collections.abc import Sequence

import numpy as np

from face_app.decision import Decision, DecisionRule
from face_app.matching import Neighbour, pair_distances
from face_app.quality import reasons
from face_app.recognition import FaceReading, Reading
from face_common.contract import Decided, Face, ImageInfo, Verification
from face_common.templates import Encodings


def image(name: str, reading: Reading) -> ImageInfo:
    """A photo as it was read."""
    info: ImageInfo = {"name": name, "width": reading.width, "height": reading.height}
    if reading.turned:
        info["turned"] = reading.turned
    return info


def seen(face: FaceReading) -> Face:
    """A face's place and quality."""
    box = face.rectangle
    return {
        "box": {"left": box.left, "top": box.top, "width": box.right - box.left, "height": box.bottom - box.top},
        "landmarks": list(face.landmarks),
        "quality": {
            "size": box.side,
            "sharpness": face.sharpness,
            "yaw": face.yaw,
            "score": face.score,
            "reasons": list(reasons(face)),
        },
    }


def decided(decision: Decision, neighbours: Sequence[Neighbour], rule: DecisionRule, top: int) -> Decided:
    """A decision with what it rests on; `top` of the neighbours are told as candidates."""
    return {
        "decision": decision.kind,
        "person": decision.person,
        "distance": _rounded(decision.distance),
        "margin": _rounded(decision.margin),
        "threshold": round(rule.threshold, 4),
        "expected_false_match_rate": float(f"{rule.expected_rate:.2g}"),
        "l2_distance": _rounded(neighbours[0].l2_distance) if neighbours else None,
        "candidates": [
            {"person": near.person, "distance": round(near.distance, 4), "l2_distance": round(near.l2_distance, 4)}
            for near in neighbours[:top]
        ],
    }


def compared(pair: Encodings, limit: float, rate: float) -> Verification:
    """Whether two encodings (2, 128) are one person's: by the distance between them at unit length.

    `limit` is the largest distance of the same person, `rate` the share of pairs of different people within it.
    """
    distance, l2_distance = float(pair_distances(pair[:1], pair[1:])[0]), float(np.linalg.norm(pair[0] - pair[1]))
    return {
        "decision": "same" if distance <= limit else "different",
        "distance": round(distance, 4),
        "threshold": round(limit, 4),
        "expected_false_match_rate": rate,
        "l2_distance": round(l2_distance, 4),
    }


def _rounded(distance: float | None) -> float | None:
    return None if distance is None else round(distance, 4)
