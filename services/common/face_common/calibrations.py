"""What workers have measured of a collection: how far apart its people are, and what its threshold does. Pure.

A worker writes it to the bucket when the collection has changed; the web tier shows it. It names nobody.
"""

import json

from typing_extensions import TypedDict  # pydantic knows the standard library's from Python 3.12 on

from face_common.contract import InvalidMessageError

FARTHEST = 2.0
"""The largest distance that there is."""
BINS = 60
"""Of a histogram, all of the same width, from 0 to FARTHEST."""
MOST_POINTS = 100
"""Of a curve."""


class Histogram(TypedDict):
    """How many distances lie where."""

    counts: list[int]
    """60 of them, from distance 0 to 2: each of a thirtieth. A distance on an edge counts above it."""
    total: int
    """How many templates were measured: all of the collection's, or a sample of 2,000."""


class OperatingPoint(TypedDict):
    """What a threshold would do, as measured on the collection itself; null where there was nothing to measure."""

    threshold: float
    true_match_rate: float | None
    """Share of templates that are at or below it to their own person's other templates."""
    false_match_rate: float | None
    """Share of templates that are at or below it to somebody else: of strangers that would be named."""


class Settled(TypedDict):
    """What the operator has settled."""

    margin: float
    """How much farther the second person must be (FACE_MARGIN)."""
    fixed_threshold: float | None
    """A distance in place of a calibrated threshold (FACE_THRESHOLD); null where there is none."""
    wanted_false_match_rate: float
    """Share of strangers that a calibrated threshold lets be named (FACE_FALSE_POSITIVE_RATE)."""


class Calibration(Settled):
    """How a collection's threshold was found, and what it does."""

    collection: str
    gallery_version: int
    """The version that was measured."""
    model: str
    at: str
    """When it was measured: ISO 8601, in UTC."""
    people: int
    templates: int
    threshold: float
    """Largest distance at which the collection's faces are named."""
    expected_false_match_rate: float
    """Share of strangers that would be named at the threshold, by the normal distribution that it follows from."""
    own_weight: float
    """From 0 to 1: how much the collection's own people counted, beside what was learned from others."""
    impostors: Histogram
    """Distances of templates to the nearest other person."""
    genuine: Histogram
    """Distances of templates to their own person's other templates; of people with at least two."""
    curve: list[OperatingPoint]
    """Up to 100 thresholds, ascending; none where nobody has two templates."""
    at_threshold: OperatingPoint


def calibration_key(collection: str) -> str:
    """Where the collection's measurements lie in the bucket."""
    return f"calibrations/{collection}.json"


def decoded(body: bytes) -> Calibration:
    """The measurements in an object; InvalidMessageError when it is none, or of a version that told less."""
    try:
        read = json.loads(body)
    except ValueError as error:
        raise InvalidMessageError(f"no measurements: {error}") from error
    if not isinstance(read, dict) or not Calibration.__required_keys__ <= read.keys():
        raise InvalidMessageError("no measurements: there is something missing")
    measured: Calibration = read  # type: ignore[assignment]
    return measured
