"""Batches and imports: which there are, how far one has come."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(batches)
    app.command()(batch)


@connected
def batches(
    session: Session,
    face: "FaceClient",
    imports: Annotated[bool, typer.Option("--imports", help="Those that enrol.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
) -> None:
    """List batches, or imports, the newest first."""
    from face_client.sentences import moment, outcomes

    found = islice((face.imports if imports else face.batches).all(), limit)
    session.out.table(
        found,
        {
            "id": lambda bulk: bulk["id"],
            "kind": lambda bulk: bulk["kind"],
            "state": lambda bulk: bulk["state"],
            "finished": lambda bulk: bulk["finished"],
            "of": lambda bulk: bulk["total"],
            "began": lambda bulk: moment(bulk["started_at"] or bulk["created_at"]),
            "outcomes": lambda bulk: outcomes(bulk["outcomes"]),
        },
    )


@connected
def batch(
    session: Session,
    face: "FaceClient",
    bulk_id: Annotated[str, typer.Argument(metavar="ID", help="Of a batch, an import or a reencoding.")],
    follow: Annotated[bool, typer.Option("--follow", help="Show how it goes on, until it is over.")] = False,
    results: Annotated[bool, typer.Option("--results", help="What became of each file.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="With --results: as CSV.")] = False,
    outcome: Annotated[str, typer.Option(help="With --results: files with this outcome only.")] = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop it; what is finished stays.")] = False,
) -> int:
    """Show how far a batch has come."""
    from face_client.command import bulk

    bulks, found = bulk.found_in(face, bulk_id)
    if cancel:
        found = bulks.cancel(bulk_id)
    if follow:
        found = bulk.follow(session.out, bulks, found)
    if results:
        bulk.tell_results(session.out, bulks, found, as_csv=as_csv, outcome=outcome)
        return 0
    bulk.told(session.out, found)
    return 1 if found["state"] == "failed" else 0
