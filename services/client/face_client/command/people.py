"""People: enrolling them, finding them, calling them by another name."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.files import saved
from face_client.command.session import Session, connected, known_people

if TYPE_CHECKING:
    from face_client.client import FaceClient
    from face_client.models import Person

Name = Annotated[str, typer.Argument(metavar="PERSON", help="A person's name.", autocompletion=known_people)]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (enrol, people, person, rename, merge):
        app.command()(command)


@connected
def enrol(
    session: Session,
    face: "FaceClient",
    what: Annotated[str, typer.Argument(metavar="FOLDER|PERSON", help="A folder of person/photo; or a person.")],
    photos: Annotated[list[Path] | None, typer.Argument(help="The person's photos.", exists=True)] = None,
    insist: Annotated[
        bool, typer.Option("--insist", help="Even if they look like another person, or unlike the person's others.")
    ] = False,
    consent: Annotated[str, typer.Option(help="Where it is written that the people agreed.")] = "",
    webhook: Annotated[str, typer.Option(help="With a folder: where the service is to tell of the end.")] = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="With a folder: do not wait for the end.")] = False,
) -> int:
    """Enrol the people of a folder, or one person with some photos."""
    if photos:
        return enrol_person(session, face, what, photos, insist=insist, consent=consent)
    from face_client.uploads import people_in

    if not Path(what).is_dir():
        raise ValueError(f"{what} is no folder; to enrol one person, name their photos too")
    found = people_in(Path(what))
    if not found:
        raise ValueError(f"{what} has no folders with photos in them: it should hold person/photo")
    return enrol_many(session, face, found, insist=insist, consent=consent, webhook=webhook, no_wait=no_wait)


def enrol_person(
    session: Session, face: "FaceClient", person: str, photos: Sequence[Path], *, insist: bool, consent: str
) -> int:
    """Enrol photos of one person and tell the verdicts; 0 when each of them is enrolled now."""
    from face_client.command.bulk import GOOD
    from face_client.uploads import photos_under

    if consent:  # before the photos: the service may ask for it
        face.set_consent(person, consent)
    verdicts = face.enrol(person, photos_under(photos), insist=insist)
    for verdict in verdicts:
        line = f"{verdict['verdict']}  {verdict['name']}: {verdict['detail']}"
        session.out.answer(verdict, session.out.marked(line, verdict["verdict"]))
    return 0 if all(verdict["verdict"] in GOOD for verdict in verdicts) else 1


def enrol_many(
    session: Session,
    face: "FaceClient",
    photos: Sequence[tuple[str, Path]],
    *,
    insist: bool,
    consent: str,
    webhook: str,
    no_wait: bool,
) -> int:
    """Enrol photos named person/photo as one import; tell of those that were not accepted, and how often what was."""
    from face_client.command import bulk

    sent = bulk.send(session.out, face.imports, photos, insist=insist, consent=consent, webhook=webhook)
    if no_wait:
        return bulk.told(session.out, sent)
    ended = bulk.follow(session.out, face.imports, sent)
    bulk.tell_results(session.out, face.imports, ended, bad_only=not session.out.as_json)
    return bulk.status_of(session.out, ended)


@connected
def people(
    session: Session,
    face: "FaceClient",
    search: Annotated[str, typer.Argument(help="Part of a name.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all.")] = 0,
) -> None:
    """List who is enrolled."""
    found = islice(face.people(search), limit or None)
    session.out.table(found, {"person": lambda entry: entry["person"], "photos": lambda entry: entry["photos"]})


@connected
def person(
    session: Session,
    face: "FaceClient",
    name: Name,
    photo: Annotated[str, typer.Option(help="Save this photo of theirs, named by its id, instead.")] = "",
    to: Annotated[Path | None, typer.Option(help="With --photo: the file to write.", dir_okay=False)] = None,
) -> None:
    """Show what is kept on a person."""
    if photo:
        place = to or Path(photo)
        saved(place, lambda file: file.write(face.photo(name, photo)))
        session.out.answer({"person": name, "photo": photo, "file": str(place)}, f"saved as {place}")
        return
    tell(session, face.person(name))


def tell(session: Session, found: "Person") -> None:
    """Show a person."""
    from face_client.sentences import moment

    if session.out.as_json:
        session.out.answer(found)
        return
    consent, expires = found.get("consent") or {}, found.get("expires_at")
    session.out.line(f"{found['person']}, in {found['collection']}")
    if consent:
        given = consent.get("given_at")
        session.out.line(f"consent: {consent.get('reference', '')}" + (f", given {moment(given)}" if given else ""))
    if expires:
        session.out.line(f"to be erased: {moment(expires)}")
    session.out.table(
        found["photos"],
        {
            "photo": lambda row: row["photo"],
            "name": lambda row: row["name"],
            "enrolled": lambda row: moment(row["enrolled_at"]),
        },
    )


@connected
def rename(
    session: Session, face: "FaceClient", name: Name, new: Annotated[str, typer.Argument(metavar="NAME")]
) -> None:
    """Give a person another name."""
    changed = face.rename(name, new)
    session.out.answer(changed, f"{name} is now called {changed.get('person', new)}")


@connected
def merge(
    session: Session,
    face: "FaceClient",
    name: Name,
    into: Annotated[str, typer.Argument(metavar="INTO", help="Who stays.", autocompletion=known_people)],
) -> None:
    """Make one person's photos another's: they are the same."""
    changed = face.merge(name, into)
    photos = len(changed.get("photos", []))
    session.out.answer(changed, f"{name} is now part of {into}" + (f", who has {photos} photos" if photos else ""))
