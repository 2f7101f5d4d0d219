"""What the service answers, said in a line. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from face_client.models import Override
from face_common.contract import Decided, Face, Result


def describe(face: Face) -> str:
    """An identified face in one line: who, how near, where; and why nobody is named or trusted, where that is known."""
    name = face.get("person") or face.get("decision", "face")
    place = ", ".join([_place(face), *face["quality"]["reasons"]])
    return f"{name}  {_nearness(face)}  ({place})"


def describe_place(face: Face) -> str:
    """A detected face in one line: where it is, and how good."""
    quality = face["quality"]
    numbers = f"sharpness {quality['sharpness']:.0f}  yaw {quality['yaw']:.2f}  score {quality['score']:.2f}"
    return "  ".join([_place(face), numbers, *filter(None, [", ".join(quality["reasons"])])])


def describe_match(found: Decided) -> str:
    """What was decided about an encoding, which has no place in a photo."""
    return f"{found.get('person') or found['decision']}  {_nearness(found)}"


def title(name: str, result: Result) -> str:
    """A photo's name, and that it had to be turned where it had to be."""
    turned = result["image"].get("turned", 0)
    return f"{name}, turned by {turned} degrees" if turned else name


def unanswered(result: Result) -> str:
    """Why there is no answer: the error, or that it is still queued."""
    error = result.get("error")
    return f"{error['code']}: {error['detail']}" if error else str(result["state"])


def verified(result: Result) -> str:
    """A verification in one line."""
    found = result["verification"]
    return f"{found['decision']}  distance {found['distance']:.2f}, threshold {found['threshold']:.2f}"


def overridden(override: Override) -> str:
    """What an operator wants of the fleet, until when, who said so and why."""
    count = override["workers"]
    wish = "paused" if override["mode"] == "pause" else f"pinned to {count} worker{'' if count == 1 else 's'}"
    until = moment(override["until"]) or "it is lifted"
    return f"{wish} until {until}, by {override['by']}: {override['why']}"


def outcomes(counts: Mapping[str, int]) -> str:
    """How often each thing happened, the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda entry: -entry[1]))


def duration(seconds: float) -> str:
    """A length of time, as short as it can be said."""
    if seconds < 0.95:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, hours = round(seconds / 60), seconds / 3600
    return f"{minutes} min" if minutes < 100 else f"{hours:.1f} h"


def size(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{count} bytes" if amount == count else f"{amount:.1f} {unit}"


def moment(at: str | float | None) -> str:
    """A time of the service's, to the second, in UTC."""
    if at is None:
        return ""
    text = at if isinstance(at, str) else datetime.fromtimestamp(at, UTC).isoformat()
    return text.replace("T", " ")[:19]


def _nearness(face: Decided) -> str:
    distance = face.get("distance")
    if distance is None:
        return "nobody to compare with"
    near = f"distance {distance:.2f}"
    rivals = " or ".join(candidate["person"] for candidate in face.get("candidates", [])[:2])
    if face.get("decision") == "ambiguous" and rivals:
        return f"{near}, {rivals}"
    return f"{near}, threshold {face['threshold']:.2f}" if face.get("decision") == "unknown" else near


def _place(face: Face) -> str:
    box = face["box"]
    return f"{box['width']}x{box['height']} at {box['left']},{box['top']}"
