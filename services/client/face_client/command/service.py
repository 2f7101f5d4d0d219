"""The service itself: its fleet, its keys, and the log of who did what."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from face_client.command.session import Session, connected

if TYPE_CHECKING:
    from face_client.client import FaceClient

Role = Literal["submit", "enrol", "admin"]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (watch, fleet, audit, me, webhooks):
        app.command()(command)


def keys() -> typer.Typer:
    """The commands about keys."""
    app = typer.Typer(help="Who may use the service.", no_args_is_help=True)
    app.command("list")(list_keys)
    app.command("create")(create_key)
    app.command("revoke")(revoke_key)
    return app


@connected
def watch(
    session: Session,
    face: "FaceClient",
    once: Annotated[bool, typer.Option("--once", help="Show one picture and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two pictures.")] = 1.0,
    lines: Annotated[int, typer.Option(min=1, help="So many of the last decisions.")] = 8,
) -> None:
    """Watch the fleet: what waits, who works, and what was decided why."""
    from face_client import watch as view

    if session.out.as_json or once or not session.out.on_terminal:
        view.print_pictures(session.out, face, once=once, every=every, lines=lines)
    else:
        view.show(session.out.console, face, every=every, lines=lines)


@connected
def fleet(
    session: Session,
    face: "FaceClient",
    decisions: Annotated[int, typer.Option(min=0, help="So many of the last decisions instead.")] = 0,
) -> None:
    """Show backlog and workers, or the last decisions of the scaling loop."""
    from face_client.watch import decision_line, summary

    if not decisions:
        found = face.fleet()
        session.out.answer(found, "\n".join(summary(found)))
        return
    for decision in face.decisions(decisions):
        session.out.answer(decision, decision_line(decision))


@connected
def audit(
    session: Session,
    face: "FaceClient",
    action: Annotated[str, typer.Option(help="Only what was done in this way, such as erase-person.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all.")] = 100,
) -> None:
    """Show who did what, the oldest first. People are not named in it."""
    from face_client.sentences import moment

    session.out.table(
        islice(face.audit(action=action), limit or None),
        {
            "at": lambda entry: moment(entry["at"]),
            "who": lambda entry: entry["who"],
            "action": lambda entry: entry["action"],
            "collection": lambda entry: entry["collection"],
            "subject": lambda entry: entry["subject"][:12],
            "facts": lambda entry: " ".join(f"{name}={value}" for name, value in entry["facts"].items()),
        },
    )


@connected
def me(session: Session, face: "FaceClient") -> None:
    """Show who the service takes you for, and which collections you may work with."""
    found, collections = face.me(), face.collections()
    key = "the service is open to this machine" if found["open"] else f"key {found['key']} ({found['name']})"
    lines = [f"{key}, role {found['role']}"]
    lines += [f"  {one['collection']}: {one['people']} people, {one['photos']} photos" for one in collections]
    session.out.answer({**found, "contents": collections}, "\n".join(lines))


@connected
def webhooks(session: Session, face: "FaceClient") -> None:
    """Show where the service tells of results, and what it could not tell."""
    session.out.table(
        face.webhooks(),
        {
            "webhook": lambda one: one["webhook"],
            "url": lambda one: one["url"],
            "pending": lambda one: one["pending"],
            "dead": lambda one: one["dead"],
        },
    )


@connected
def list_keys(session: Session, face: "FaceClient") -> None:
    """List the keys, the oldest first."""
    from face_client.sentences import moment

    session.out.table(
        face.keys.all(),
        {
            "key": lambda one: one["key"],
            "name": lambda one: one["name"],
            "role": lambda one: one["role"],
            "collections": lambda one: "all" if one["collections"] is None else ", ".join(one["collections"]),
            "made": lambda one: moment(one["created_at"]),
            "used": lambda one: moment(one["used_at"]) or "never",
            "ends": lambda one: moment(one["expires_at"]),
        },
    )


@connected
def create_key(
    session: Session,
    face: "FaceClient",
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[Role, typer.Option(help="What it is for.")] = "submit",
    bound_to: Annotated[list[str] | None, typer.Option(help="Bind it to this collection; may be repeated.")] = None,
    expires_at: Annotated[str, typer.Option(help="When it ends: ISO 8601, with an offset.")] = "",
    rate: Annotated[float | None, typer.Option(help="Requests a second, instead of the usual limit.")] = None,
) -> None:
    """Make a key. It is printed this once: the service keeps a hash of it."""
    made = face.keys.create(name, role, collections=bound_to or None, expires_at=expires_at or None, rate=rate)
    session.out.note(f"key {made['key']} for {name}, role {made['role']}; it is shown this once:")
    session.out.answer(made, made["secret"])


@connected
def revoke_key(
    session: Session,
    face: "FaceClient",
    ended: Annotated[str, typer.Argument(metavar="KEY", help="As 'face keys list' names it.")],
) -> None:
    """End a key."""
    gone = face.keys.revoke(ended)
    session.out.answer(gone, f"key {gone['key']} ({gone['name']}) has ended")
