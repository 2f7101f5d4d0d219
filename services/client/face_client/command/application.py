"""The tree of commands."""

from functools import cache
from typing import Annotated

import typer

from face_client.command import (
    batches,
    clusters,
    dead_letters,
    gallery,
    load,
    migrate,
    override,
    people,
    photos,
    rights,
    service,
)
from face_client.command.session import Certificate, Collection, Json, Key, Url, chosen

_ABOUT = """Who is in a photo? Ask an Elastic Face Recognition service.

Exit status: 0 all went well; 1 something was refused or failed; 2 wrong use, or no answer.
"""


@cache
def application() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="face", help=_ABOUT, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    app.callback()(_begin)
    for group in (photos, people, rights, batches, service, load):
        group.add(app)
    app.add_typer(gallery.commands(), name="gallery")
    app.add_typer(clusters.commands(), name="clusters")
    app.add_typer(service.keys(), name="keys")
    app.add_typer(override.commands(), name="override")
    app.add_typer(dead_letters.commands(), name="dead-letters")
    app.add_typer(migrate.commands(), name="migrate")
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"face {metadata.version('elastic-face-client')}")
        raise typer.Exit


def _begin(
    context: typer.Context,
    url: Url = None,
    key: Key = None,
    collection: Collection = None,
    certificate: Certificate = None,
    as_json: Json = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    shared = {"url": url, "key": key, "collection": collection, "certificate": certificate, "as_json": as_json}
    context.obj = chosen(None, shared)
