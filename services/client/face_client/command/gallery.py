"""`face gallery`: a collection as a whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.files import saved
from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient


def commands() -> typer.Typer:
    """The commands."""
    app = typer.Typer(
        help="A collection as a whole: what is in it, its versions, its way elsewhere.", no_args_is_help=True
    )
    for command in (show, versions, undo, export, reencode, erase):
        app.command()(command)
    app.command("import")(load)
    return app


@connected
def show(session: Session, face: "FaceClient") -> None:
    """Show what is in the collection."""
    found = face.gallery.describe()
    lines = [f"{name.replace('_', ' '):<14}{_plain(value)}" for name, value in found.items()]
    session.out.answer(found, "\n".join(lines))


@connected
def versions(session: Session, face: "FaceClient") -> None:
    """List the versions that the collection can go back to."""
    from face_client.sentences import moment

    session.out.table(
        face.gallery.versions(),
        {
            "version": lambda one: one["version"],
            "at": lambda one: moment(one.get("at")),
            "photos": lambda one: one.get("rows"),
        },
    )


@connected
def undo(
    session: Session,
    face: "FaceClient",
    version: Annotated[
        int | None, typer.Argument(help="Which version to go back to.", show_default="the one before")
    ] = None,
) -> int:
    """Go back to an earlier version, which becomes the newest. Who was erased stays erased."""
    if version is None:
        known = sorted((one["version"] for one in face.gallery.versions()), reverse=True)
        if len(known) < 2:
            session.out.error("there is no earlier version")
            return 1
        version = known[1]
    done = face.gallery.restore(version)
    changes = f"photos gone: {len(done['removed'])}, back: {len(done['added'])}"
    session.out.answer(done, f"{session.options.collection} is as it was at version {version}: {changes}")
    return 0


@connected
def export(
    session: Session,
    face: "FaceClient",
    to: Annotated[
        Path | None, typer.Argument(help="The file to write.", show_default="COLLECTION.jsonl", dir_okay=False)
    ] = None,
) -> None:
    """Save everybody's templates, with the model that made them, as JSON lines."""
    from face_client.sentences import size

    place = to or Path(f"{session.options.collection}.jsonl")
    count = saved(place, face.gallery.export)
    session.out.answer({"file": str(place), "bytes": count}, f"{place}: {size(count)}")


@connected
def load(
    session: Session,
    face: "FaceClient",
    file: Annotated[Path, typer.Argument(help="What 'face gallery export' wrote.", exists=True, dir_okay=False)],
) -> None:
    """Take in what was exported from this or another service."""
    with file.open("rb") as exported:
        answer = face.gallery.load(exported)
    session.out.answer(answer, ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in answer.items()))


@connected
def reencode(
    session: Session,
    face: "FaceClient",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for its end.")] = False,
) -> int:
    """Encode every enrolled photo anew with the model of today."""
    from face_client.command import bulk

    begun = face.gallery.reencode()
    if no_wait:
        return bulk.told(session.out, begun)
    bulks, found = bulk.found_in(face, begun["id"])
    return bulk.status_of(session.out, bulk.follow(session.out, bulks, found))


@connected
def erase(
    session: Session,
    face: "FaceClient",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the receipt.")] = 600,
) -> int:
    """Erase the whole collection with everybody in it, and print the receipt."""
    if not yes:
        typer.confirm(f"Erase the collection {session.options.collection} and everybody in it?", abort=True, err=True)
    receipt = face.erase_collection(patience=wait)
    session.out.answer(receipt, f"{session.options.collection}: {receipt['state']}, receipt {receipt['id']}")
    return 0 if receipt["state"] == "done" else 1


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
