"""How far apart a collection's people are, and what its threshold does: what operators look at. Pure."""

import datetime

import numpy as np

from face_app.calibration import Floats, own_weight
from face_app.enrolled import SAMPLE, SEED, Enrolled
from face_app.matching import genuine_distances
from face_common.calibrations import BINS, FARTHEST, MOST_POINTS, Calibration, Histogram, OperatingPoint, Settled

_DIGITS = 6


def observe(enrolled: Enrolled, collection: str, model: str, at: float) -> Calibration:
    """The measurements of a collection with at least two people; `at` in seconds since the epoch.

    Costs some hundredths of a second at most: who comes near to whom was measured when the gallery was loaded.
    """
    index, rule, impostors = enrolled.index, enrolled.rule, enrolled.impostors
    genuine = genuine_distances(index, SAMPLE, SEED)
    return {
        "collection": collection,
        "gallery_version": enrolled.version,
        "model": model,
        "at": datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds"),
        "people": index.headcount,
        "templates": len(index.snapshot.units) - len(index.distractors),
        "threshold": round(rule.threshold, _DIGITS),
        **settled(enrolled),
        "expected_false_match_rate": round(rule.expected_rate, _DIGITS),
        "own_weight": round(own_weight(index.headcount, impostors), _DIGITS),
        "impostors": histogram(impostors),
        "genuine": histogram(genuine),
        "curve": curve(genuine, impostors),
        "at_threshold": point(rule.threshold, genuine, impostors),
    }


def settled(enrolled: Enrolled) -> Settled:
    """What the operator has settled, by which measurements of the same version may differ."""
    policy = enrolled.policy
    return {"margin": policy.margin, "fixed_threshold": policy.threshold, "wanted_false_match_rate": policy.rate}


def histogram(distances: Floats) -> Histogram:
    """Distances (k,) by where they lie."""
    counts, _ = np.histogram(np.clip(distances, 0, FARTHEST), bins=BINS, range=(0.0, FARTHEST))
    return {"counts": counts.tolist(), "total": len(distances)}


def curve(genuine: Floats, impostors: Floats) -> list[OperatingPoint]:
    """What thresholds would do, from one that nearly nothing comes below to one that everything does.

    Half of the points lie evenly among the distances, half follow the impostors: where few of those come, the curve
    is told as finely as it is known. None where either (k,) is empty.
    """
    if not (len(genuine) and len(impostors)):
        return []
    together = np.concatenate([genuine, impostors])
    even = np.linspace(together.min(), together.max(), MOST_POINTS // 2)
    rare = np.quantile(impostors, np.geomspace(1 / len(impostors), 1, MOST_POINTS // 2))
    return [point(float(limit), genuine, impostors) for limit in np.unique(np.concatenate([even, rare]))]


def point(threshold: float, genuine: Floats, impostors: Floats) -> OperatingPoint:
    """What a threshold does. The margin and rejected faces are left aside: both only ever name fewer."""
    return {
        "threshold": round(threshold, _DIGITS),
        "true_match_rate": _share(genuine, threshold),
        "false_match_rate": _share(impostors, threshold),
    }


def _share(distances: Floats, threshold: float) -> float | None:
    return round(float(np.mean(distances <= threshold)), _DIGITS) if len(distances) else None
