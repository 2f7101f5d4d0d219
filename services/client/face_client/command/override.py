"""`face override`: what an operator wants of the fleet for now, whatever the load."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient
    from face_client.models import Override

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def commands() -> typer.Typer:
    """The commands."""
    app = typer.Typer(
        help="Overrule the scaling loop for some time. 'face fleet' shows an override that is on.",
        no_args_is_help=True,
    )
    for command in (pin, pause, lift):
        app.command()(command)
    return app


def span(text: str) -> timedelta:
    """A length of time such as 90s, 30m, 1h or 2d; typer.BadParameter for anything else."""
    found = re.fullmatch(r"(\d{1,5})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no length of time: 90s, 30m, 1h or 2d is one")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Why = Annotated[str, typer.Option(help="The reason, in one line that names nobody.")]
For = Annotated[
    timedelta | None,
    typer.Option(
        "--for", parser=span, metavar="TIME", help="How long: 90s, 30m, 1h, 2d.", show_default="until it is lifted"
    ),
]


@connected
def pin(
    session: Session,
    face: "FaceClient",
    workers: Annotated[int, typer.Argument(min=0, metavar="WORKERS", help="How many.")],
    why: Why,
    lasting: For = None,
) -> None:
    """Keep so many workers. It takes the place of an override that is on."""
    _tell(session, face.override.pin(workers, why, until=_end(lasting)))


@connected
def pause(session: Session, face: "FaceClient", why: Why, lasting: For = None) -> None:
    """Neither start nor retire any worker. It takes the place of an override that is on."""
    _tell(session, face.override.pause(why, until=_end(lasting)))


@connected
def lift(session: Session, face: "FaceClient") -> None:
    """End the override: the load decides again."""
    face.override.lift()
    session.out.answer({"override": None}, "no override: the load decides")


def _end(lasting: timedelta | None) -> str | None:
    return (datetime.now(UTC) + lasting).isoformat() if lasting else None


def _tell(session: Session, override: "Override") -> None:
    from face_client.sentences import overridden

    session.out.answer({"override": override}, overridden(override))
