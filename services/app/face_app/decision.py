"""Who is it: match, ambiguous or unknown. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from face_app.matching import Neighbour


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """When a face is named."""

    threshold: float
    """Largest distance at which a face may be named; lower is stricter."""
    margin: float
    """How much farther the second person must be; a smaller lead is ambiguous and names nobody."""
    expected_rate: float
    """Share of strangers expected at or below the threshold."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided; `person` only for a match, `distance` and `margin` where there is anything to measure."""

    kind: Literal["match", "ambiguous", "unknown"]
    person: str | None
    distance: float | None
    margin: float | None


def decide(neighbours: Sequence[Neighbour], rule: DecisionRule, *, fit: bool = True) -> Decision:
    """Decide from a face's nearest people, nearest first (two are enough).

    A face that is not `fit`, too small or blurred to tell people apart, is nobody's: strangers come too near.
    """
    if not neighbours:
        return Decision("unknown", None, None, None)
    nearest = neighbours[0]
    margin = neighbours[1].distance - nearest.distance if len(neighbours) > 1 else None
    if not fit or nearest.distance > rule.threshold:
        return Decision("unknown", None, nearest.distance, margin)
    if margin is not None and margin < rule.margin:
        return Decision("ambiguous", None, nearest.distance, margin)
    return Decision("match", nearest.person, nearest.distance, margin)
