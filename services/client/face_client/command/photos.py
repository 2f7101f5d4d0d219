"""Questions about photos: submit, verify, detect, search."""

import base64
import csv
import json
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from face_client.command.session import Session, connected
from face_common.contract import Face, Result

if TYPE_CHECKING:
    from face_client.client import FaceClient
    from face_client.command.asking import Answer

SAME, DIFFERENT, UNDECIDED = 0, 1, 2  # as cmp does: a script must not take a refusal for an answer
_COLUMNS = (
    "file",
    "face",
    "decision",
    "person",
    "distance",
    "threshold",
    "left",
    "top",
    "width",
    "height",
    "id",
    "error",
)

Places = Annotated[
    list[Path], typer.Argument(help="Photos, and folders of photos.", exists=True, metavar="FILE|FOLDER...")
]
Clients = Annotated[int, typer.Option(min=1, max=256, help="How many photos are on their way at a time.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for an answer.")]
MaxFaces = Annotated[int, typer.Option(min=1, help="At most so many faces of a photo.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (submit, verify, detect, search):
        app.command()(command)


@connected
def submit(
    session: Session,
    face: "FaceClient",
    places: Places,
    clients: Clients = 8,
    wait: Wait = 300,
    top: Annotated[int, typer.Option(min=1, help="So many candidates for each face.")] = 3,
    max_faces: MaxFaces = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line of CSV for each face.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Send one archive, to be worked off in the background.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="With --batch: do not wait for its end.")] = False,
    webhook: Annotated[str, typer.Option(help="Where the service is to tell of the results.")] = "",
) -> int:
    """Name the people in photos."""
    from face_client.command.asking import ask, patiently
    from face_client.uploads import photos_under

    photos = photos_under(places)
    if batch:
        from face_client.command.bulk import submit_batch

        return submit_batch(session.out, face, photos, no_wait, as_csv, top=top, max_faces=max_faces, webhook=webhook)
    question = patiently(
        lambda photo: face.identify(photo, wait=min(wait, 30), top=top, max_faces=max_faces, webhook=webhook),
        face.identification,
        wait,
    )
    tell = _csv_teller() if as_csv else _teller(session, _line_of_match)
    return _tell_all(session, ask(photos, question, clients), len(photos), tell)


@connected
def detect(
    session: Session,
    face: "FaceClient",
    places: Places,
    clients: Clients = 8,
    wait: Wait = 300,
    max_faces: MaxFaces = 100,
) -> int:
    """Find the faces in photos, and say how good they are."""
    from face_client.command.asking import ask, patiently
    from face_client.sentences import describe_place
    from face_client.uploads import photos_under

    photos = photos_under(places)
    question = patiently(
        lambda photo: face.detect(photo, wait=min(wait, 30), max_faces=max_faces), face.detection, wait
    )
    tell = _teller(session, lambda found: (describe_place(found), ""))
    return _tell_all(session, ask(photos, question, clients), len(photos), tell)


@connected
def verify(
    session: Session,
    face: "FaceClient",
    first: Annotated[Path, typer.Argument(help="A photo.")],
    second: Annotated[Path, typer.Argument(help="Another photo.")],
    wait: Wait = 60,
) -> int:
    """Tell whether two photos show one person.

    Ends with 0 for the same person, 1 for different people, 2 when there is no answer.
    """
    from face_client.command.asking import is_queued, patiently
    from face_client.errors import FaceServiceError
    from face_client.sentences import unanswered, verified

    question = patiently(lambda photo: face.verify(photo, second, wait=min(wait, 30)), face.verification, wait)
    try:
        result = question(first)
    except (FaceServiceError, OSError) as error:
        session.out.error(str(error))
        return UNDECIDED
    if is_queued(result) or "verification" not in result:
        session.out.error(f"{unanswered(result)}, see /v1/verifications/{result['id']}")
        return UNDECIDED
    decision = result["verification"]["decision"]
    session.out.answer(result, session.out.marked(verified(result), decision))
    return SAME if decision == "same" else DIFFERENT


@connected
def search(
    session: Session,
    face: "FaceClient",
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON: {"encoding": [128 numbers], "model": "…"}; or a line of an exported gallery.', exists=True
        ),
    ],
    model: Annotated[str, typer.Option(help="The model that made the encoding, if the file does not say.")] = "",
    top: Annotated[int, typer.Option(min=1, help="So many candidates.")] = 3,
    wait: Wait = 60,
) -> int:
    """Tell whose face an encoding is."""
    from face_client.command.asking import patiently
    from face_client.sentences import describe_match, unanswered

    encoding, made_by = read_encoding(file.read_text(encoding="utf-8"), model)
    question = patiently(
        lambda _: face.search(encoding, made_by, top=top, wait=min(wait, 30)), face.earlier_search, wait
    )
    result = question(file)
    if "match" not in result:
        session.out.error(f"{unanswered(result)}, see /v1/searches/{result['id']}")
        return 1
    match = result["match"]
    session.out.answer(result, session.out.marked(describe_match(match), match["decision"]))
    return 0


def read_encoding(text: str, model: str) -> tuple[list[float], str]:
    """The numbers of an encoding, and the model that made it; ValueError when they are not there.

    As a list of numbers, or as an exported gallery has it: 128 float32, little-endian, in base64.
    """
    given = json.loads(text)
    fields = given if isinstance(given, dict) else {"encoding": given}
    encoding, made_by = fields.get("encoding"), model or fields.get("model")
    if isinstance(encoding, str):
        packed = base64.b64decode(encoding, validate=True)
        encoding = list(struct.unpack(f"<{len(packed) // 4}f", packed))
    if not isinstance(encoding, list):
        raise ValueError("the file has no 'encoding'")
    if not isinstance(made_by, str):
        raise ValueError("the file does not say which model made the encoding: give --model")
    return encoding, made_by


def _tell_all(session: Session, answers: Iterable["Answer"], total: int, tell: Callable[["Answer"], None]) -> int:
    """Tell of each answer as it comes; 1 when one of them is none."""
    counts: Counter[str] = Counter()
    with session.out.gauge("photos", total) as gauge:
        for number, answer in enumerate(answers, 1):
            tell(answer)
            counts["answered" if answer.is_good else answer.code or "queued"] += 1
            gauge.update(
                number, note=", ".join(f"{count} {code}" for code, count in counts.items() if code != "answered")
            )
    return 0 if counts["answered"] == total else 1


def _teller(session: Session, line: Callable[[Face], tuple[str, str]]) -> Callable[["Answer"], None]:
    """Tells of an answer as lines for people, or as JSON."""
    out = session.out

    def tell(answer: "Answer") -> None:
        if out.as_json:
            error = {"code": answer.code, "detail": answer.detail}
            out.answer({"file": str(answer.photo), **(answer.result or {"error": error})})
        elif answer.code:
            out.error(f"{answer.photo}: {answer.code}: {answer.detail}")
        elif answer.result is not None and not answer.is_good:
            out.error(f"{answer.photo}: {answer.result['state']}, its id is {answer.result['id']}")
        elif answer.result is not None:
            _tell_faces(session, answer.photo, answer.result, line)

    return tell


def _tell_faces(session: Session, photo: Path, result: Result, line: Callable[[Face], tuple[str, str]]) -> None:
    from rich.text import Text

    from face_client.sentences import title

    heading = f"{title(str(photo), result)}: "
    faces = [session.out.marked(*line(found)) for found in result.get("faces", [])]
    for number, text in enumerate(faces or [session.out.marked("no face", "")]):
        session.out.line(Text.assemble(" " * len(heading) if number else heading, text))


def _line_of_match(face: Face) -> tuple[str, str]:
    from face_client.sentences import describe

    return describe(face), face.get("decision", "")


def _csv_teller() -> Callable[["Answer"], None]:
    """Tells of an answer as a line of CSV for each face, and one for a photo without any."""
    writer = csv.DictWriter(sys.stdout, _COLUMNS, restval="")
    writer.writeheader()

    def tell(answer: "Answer") -> None:
        writer.writerows(csv_rows(answer))
        sys.stdout.flush()

    return tell


def csv_rows(answer: "Answer") -> list[dict[str, Any]]:
    """An answer as rows of the CSV."""
    result = answer.result
    shared = {
        "file": str(answer.photo),
        "id": result["id"] if result else "",
        "error": answer.code or ("" if answer.is_good else "queued"),
    }
    faces = result.get("faces", []) if result else []
    kept = ("decision", "person", "distance", "threshold")
    return [
        {**shared, "face": number, **{name: found.get(name) for name in kept}, **found["box"]}
        for number, found in enumerate(faces)
    ] or [shared]
