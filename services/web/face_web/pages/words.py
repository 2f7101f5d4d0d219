"""How the pages write times, counts and names. Pure."""

from datetime import UTC, datetime

from face_common.contract import is_image_name


def moment(at: float | str) -> datetime:
    """A time in UTC, of seconds since the epoch or of ISO 8601."""
    told = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else datetime.fromisoformat(at)
    return told.astimezone(UTC)


def day(at: float | str | None) -> str:
    """`28 Nov 2026`; empty for no time."""
    return "" if at is None else f"{moment(at):%-d %b %Y}"


def minute(at: float | str | None) -> str:
    """`28 Nov 2026, 20:15`, in UTC; empty for no time."""
    return "" if at is None else f"{moment(at):%-d %b %Y, %H:%M}"


def second(at: float | str | None) -> str:
    """`28 Nov 2026, 20:15:01 UTC`; empty for no time."""
    return "" if at is None else f"{moment(at):%-d %b %Y, %H:%M:%S} UTC"


def counted(number: float, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number:g} {one if number == 1 else many or one + 's'}"


def photo_name(name: str) -> str:
    """A photo's file name if the service takes it, else a plain one: it is nothing but a label here."""
    return name if is_image_name(name) else "photo"
