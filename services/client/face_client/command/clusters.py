"""`face clusters`: faces that nobody has named, grouped by likeness."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from face_client.command.session import Session, connected, known_people

if TYPE_CHECKING:
    from face_client.client import FaceClient

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="As 'face clusters list' names it.")]


def commands() -> typer.Typer:
    """The commands."""
    app = typer.Typer(help="Faces that nobody has named, grouped by likeness.", no_args_is_help=True)
    app.command("list")(show)
    app.command()(name)
    app.command()(dismiss)
    return app


@connected
def show(
    session: Session,
    face: "FaceClient",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    threshold: Annotated[float | None, typer.Option(help="The largest distance within a group.")] = None,
) -> None:
    """List groups of faces that are probably one person's, the largest first."""
    session.out.table(
        face.clusters.all(limit=limit, threshold=threshold),
        {
            "cluster": lambda one: one["cluster"],
            "faces": lambda one: one["size"],
            "seen in": lambda one: ", ".join(seen["identification"] for seen in one["faces"][:3]),
        },
    )


@connected
def name(
    session: Session,
    face: "FaceClient",
    cluster: Cluster,
    person: Annotated[str, typer.Argument(metavar="PERSON", autocompletion=known_people)],
) -> None:
    """Enrol the faces of a group as a person's."""
    from face_client.sentences import outcomes

    named = face.clusters.name(cluster, person)
    counts = Counter(str(photo["verdict"]) for photo in named["photos"])
    session.out.answer(named, f"{cluster} is {person}: {outcomes(counts)}")


@connected
def dismiss(session: Session, face: "FaceClient", cluster: Cluster) -> None:
    """Forget the faces of a group."""
    face.clusters.dismiss(cluster)
    session.out.answer({"cluster": cluster, "dismissed": True}, f"{cluster} is forgotten")
