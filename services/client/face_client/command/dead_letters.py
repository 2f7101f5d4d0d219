"""`face dead-letters`: jobs that no worker could finish."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient

Job = Annotated[str, typer.Argument(metavar="ID", help="As 'face dead-letters list' names it.")]


def commands() -> typer.Typer:
    """The commands."""
    app = typer.Typer(help="Jobs that no worker could finish.", no_args_is_help=True)
    app.command("list")(show)
    app.command()(redrive)
    app.command()(discard)
    return app


@connected
def show(
    session: Session,
    face: "FaceClient",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> None:
    """List dead letters, the newest first."""
    from face_client.sentences import moment

    session.out.table(
        islice(face.dead_letters.all(), limit),
        {
            "id": lambda letter: letter["id"],
            "given up": lambda letter: moment(letter["at"]),
            "operation": lambda letter: letter["operation"],
            "collection": lambda letter: letter["collection"],
            "name": lambda letter: letter["name"],
            "code": lambda letter: letter["code"],
            "state": lambda letter: letter["state"],
        },
    )


@connected
def redrive(session: Session, face: "FaceClient", job: Job) -> None:
    """Send a job anew, under its id. Files of batches are refused: send those again."""
    face.dead_letters.redrive(job)
    session.out.answer({"id": job, "state": "queued"}, f"{job} is on its way again")


@connected
def discard(session: Session, face: "FaceClient", job: Job) -> None:
    """Forget a dead letter. The job's failed result stays as it is."""
    face.dead_letters.discard(job)
    session.out.answer({"id": job, "discarded": True}, f"{job} is forgotten")
