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
    """What was decided; `person` only for a match, `distance` and `margin` where there is anything to measure.

    `margin`: how much farther than the nearest person the next is, a second person or a rejected face; negative where a
    rejected face is nearer than anybody.
    """

    kind: Literal["match", "ambiguous", "unknown"]
    person: str | None
    distance: float | None
    margin: float | None


def decide(
    neighbours: Sequence[Neighbour], rule: DecisionRule, *, fit: bool = True, rejected: float | None = None
) -> Decision:
    """Decide from a face's nearest people, nearest first (two are enough).

    A face that is not `fit`, too small or blurred to tell people apart, is nobody's: strangers come too near.

    `rejected` is the distance of the nearest rejected face. Where that is nearer than anybody, the face is unknown:
    somebody has said that it is nobody, and need not be asked again. Where a person is nearer by less than the margin,
    it is as between two people: so small a lead tells nobody apart, and somebody should look.
    """
    if not neighbours:
        return Decision("unknown", None, None, None)
    nearest = neighbours[0]
    others = [near.distance for near in neighbours[1:2]] + ([] if rejected is None else [rejected])
    margin = min(others) - nearest.distance if others else None
    if not fit or nearest.distance > rule.threshold or (margin is not None and margin < 0):
        return Decision("unknown", None, nearest.distance, margin)
    if margin is not None and margin < rule.margin:
        return Decision("ambiguous", None, nearest.distance, margin)
    return Decision("match", nearest.person, nearest.distance, margin)
