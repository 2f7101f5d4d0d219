"""What every command has: a service to ask, a place to show answers, and the options that say which."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from face_client.client import FaceClient

URL = "http://127.0.0.1:8080"
_PANEL = "Connection and output"
_MOST_NAMES = 50
_AT_ONCE = 1.0  # seconds that somebody who has pressed TAB waits

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="FACE_URL", help="The service's address.", show_default=URL, rich_help_panel=_PANEL),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="FACE_KEY", help="A key of the service.", rich_help_panel=_PANEL, show_envvar=True),
]
Collection = Annotated[
    str | None,
    typer.Option(
        "--collection", envvar="FACE_COLLECTION", help="Which gallery.", show_default="default", rich_help_panel=_PANEL
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        envvar="FACE_CERTIFICATE",
        help="The certificate to trust, where the service made its own.",
        rich_help_panel=_PANEL,
    ),
]
Json = Annotated[
    bool | None,
    typer.Option("--json", help="Answers as JSON, one value a line.", rich_help_panel=_PANEL, show_default=False),
]


@dataclass(frozen=True, slots=True)
class Options:
    """What was said about the service and the output, before or after the command's name."""

    url: str = URL
    key: str = ""
    collection: str = "default"
    certificate: Path | None = None
    as_json: bool = False


class Session:
    """One command's service and output."""

    def __init__(self, options: Options) -> None:
        from face_client.command.output import Output

        self.options = options
        self.out = Output(as_json=options.as_json)

    def face(self, *, retries: int = 4) -> "FaceClient":
        """A client of the service, to be closed by whoever asks for it."""
        from face_client.client import FaceClient

        given = self.options
        return FaceClient(
            given.url, key=given.key, collection=given.collection, certificate=given.certificate, retries=retries
        )


def connected(command: Callable[..., int | None]) -> Callable[..., int]:
    """A command that is called with a session and a client, and takes the options that all commands take.

    It ends with the status that it returns, 0 for none.
    """
    return _with_options(command, lambda session, given: _with_client(command, session, given))


def standing_alone(command: Callable[..., int | None]) -> Callable[..., int]:
    """As `connected`, for a command that makes clients of its own."""
    return _with_options(command, lambda session, given: command(session, **given) or 0)


def _with_client(command: Callable[..., int | None], session: Session, given: dict[str, Any]) -> int:
    with session.face() as face:
        return command(session, face, **given) or 0


def _with_options(
    command: Callable[..., int | None], run: Callable[[Session, dict[str, Any]], int]
) -> Callable[..., int]:
    def called(
        context: typer.Context,
        url: Url = None,
        key: Key = None,
        collection: Collection = None,
        certificate: Certificate = None,
        as_json: Json = None,
        **given: Any,
    ) -> int:
        shared = {"url": url, "key": key, "collection": collection, "certificate": certificate, "as_json": as_json}
        # The environment was asked before the command's name: what was said there counts more.
        said = {name: value if _is_said(context, name) else None for name, value in shared.items()}
        return run(Session(chosen(context.obj, said)), given)

    signature = inspect.signature(called)
    own = inspect.signature(command)
    kept = [given for given in own.parameters.values() if given.name not in {"session", "face"}]
    shared = [given for given in signature.parameters.values() if given.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [given.replace(kind=inspect.Parameter.KEYWORD_ONLY) for given in (*kept, *shared)]
    called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {given.name: given.annotation for given in parameters} | {"return": int}
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called


def _is_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def chosen(before: Options | None, said: dict[str, Any]) -> Options:
    """The options, where what was said last counts."""
    usual = before or Options()
    return Options(**{name: getattr(usual, name) if said[name] is None else said[name] for name in said})


def known_people(context: typer.Context, incomplete: str) -> list[str]:
    """Names that a shell may complete: those of the service, if it answers at once."""
    from face_client.client import FaceClient

    usual = context.find_root().params
    options = chosen(None, {name: usual.get(name) for name in ("url", "key", "collection", "certificate", "as_json")})
    try:
        with FaceClient(
            options.url,
            key=options.key,
            collection=options.collection,
            certificate=options.certificate,
            retries=0,
            timeout=_AT_ONCE,
        ) as face:
            names = (entry["person"] for entry in face.people(incomplete))
            return list(islice((name for name in names if name.startswith(incomplete)), _MOST_NAMES))
    except Exception:  # a shell has no use for a reason
        return []
