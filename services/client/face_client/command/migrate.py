"""`face migrate`: people from another service."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient

Consent = Annotated[str, typer.Option(help="Where it is written that the people agreed.")]
Insist = Annotated[bool, typer.Option("--insist", help="Whatever the likeness.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be enrolled.")]


def commands() -> typer.Typer:
    """The commands."""
    app = typer.Typer(help="People from another service: their photos are enrolled here.", no_args_is_help=True)
    app.command()(compreface)
    app.command()(rekognition)
    return app


@connected
def compreface(
    session: Session,
    face: "FaceClient",
    folder: Annotated[Path, typer.Argument(help="subject/photo.", exists=True, file_okay=False)],
    consent: Consent = "",
    insist: Insist = False,
    dry_run: DryRun = False,
) -> int:
    """Enrol the subjects of a folder as CompreFace is filled from: a folder of photos for each."""
    from face_client import migrate

    found = migrate.compreface(folder)
    return _enrol(session, face, migrate.distinct(found), [], consent=consent, insist=insist, dry_run=dry_run)


@connected
def rekognition(
    session: Session,
    face: "FaceClient",
    manifest: Annotated[Path, typer.Argument(help="JSON lines.", exists=True, dir_okay=False)],
    images: Annotated[
        Path | None,
        typer.Option(help="Where the photos are.", show_default="beside the manifest", exists=True, file_okay=False),
    ] = None,
    consent: Consent = "",
    insist: Insist = False,
    dry_run: DryRun = False,
) -> int:
    """Enrol what a manifest names: in each line a source-ref, and an external-image-id as the person."""
    from face_client import migrate

    with manifest.open(encoding="utf-8-sig") as lines:
        found = list(migrate.rekognition(lines, images or manifest.parent))
    photos = migrate.distinct(entry for entry in found if isinstance(entry, migrate.Photo))
    left = [f"{entry.where}: {entry.why}" for entry in found if isinstance(entry, migrate.Left)]
    return _enrol(session, face, photos, left, consent=consent, insist=insist, dry_run=dry_run)


def _enrol(
    session: Session,
    face: "FaceClient",
    photos: Sequence[tuple[str, Path]],
    left: Sequence[str],
    *,
    consent: str,
    insist: bool,
    dry_run: bool,
) -> int:
    """Enrol the photos; 1 when something was left out or not accepted."""
    from face_client.command.people import enrol_many

    for why in left:
        session.out.note(f"left out: {why}")
    if dry_run:
        session.out.table(
            [{"name": name, "file": str(path)} for name, path in photos],
            {"name": lambda row: row["name"], "file": lambda row: row["file"]},
        )
        return 1 if left else 0
    status = enrol_many(session, face, photos, insist=insist, consent=consent, webhook="", no_wait=False)
    return 1 if left else status
