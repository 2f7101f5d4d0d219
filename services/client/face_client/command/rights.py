"""What a person may ask of whoever keeps their face: what is kept, on what grounds, and that it goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.files import saved
from face_client.command.people import Name, tell
from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient
    from face_client.models import Receipt


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (consent, export, erase):
        app.command()(command)


@connected
def consent(
    session: Session,
    face: "FaceClient",
    name: Name,
    reference: Annotated[str, typer.Argument(help="Where it is written that the person agreed.")] = "",
    given_at: Annotated[str, typer.Option(help="Since when: ISO 8601, with an offset.")] = "",
    expires_at: Annotated[str, typer.Option(help="When the person is to be erased; 'never' for not at all.")] = "",
) -> None:
    """Note that a person agreed, or when they are to be erased; without either, show what is noted."""
    found = None
    if reference:
        found = face.set_consent(name, reference, given_at=given_at)
    if expires_at:
        found = face.set_expiry(name, None if expires_at == "never" else expires_at)
    tell(session, found if found and "photos" in found else face.person(name))


@connected
def export(
    session: Session,
    face: "FaceClient",
    name: Name,
    to: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="PERSON.zip", dir_okay=False)
    ] = None,
) -> None:
    """Save all that is kept on a person as a zip."""
    from face_client.sentences import size

    place = to or Path(f"{name}.zip")
    count = saved(place, lambda file: face.export_person(name, file))
    session.out.answer({"person": name, "file": str(place), "bytes": count}, f"{place}: {size(count)}")


@connected
def erase(
    session: Session,
    face: "FaceClient",
    name: Name,
    photo: Annotated[str, typer.Option(help="Only this photo of theirs, named by its id.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    insist: Annotated[
        bool, typer.Option("--insist", help="Even if nobody of this name is enrolled any more: answers may name them.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the receipt.")] = 600,
) -> int:
    """Erase all that is kept on a person, and print the receipt."""
    collection = session.options.collection
    if not yes:
        what = f"photo {photo} of {name}" if photo else f"all that is kept on {name}"
        typer.confirm(f"Erase {what} in {collection}?", abort=True, err=True)
    receipt = face.remove_photo(name, photo, patience=wait) if photo else face.erase(name, insist=insist, patience=wait)
    session.out.answer(receipt, told(name, receipt))
    return 0 if receipt["state"] == "done" else 1


def told(name: str, receipt: "Receipt") -> str:
    """A receipt in some lines."""
    if receipt["state"] != "done":
        return f"{name}: still being erased, see /v1/erasures/{receipt['id']}"
    counts = {
        "template": receipt["templates"],
        "photo": len(receipt["photos"]),
        "answer": receipt["results"],
        "other photo": receipt["probes"],
        "stored version": receipt["versions"],
    }
    lines = [f"{name}: erased, receipt {receipt['id']}"]
    lines += [f"  {count:>6} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items()]
    if receipt["pending"]:
        lines.append(f"  {receipt['pending']:>6} files of the gallery go within the hour")
    return "\n".join(lines)
