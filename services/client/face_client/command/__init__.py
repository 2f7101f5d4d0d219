"""`face`: the service from a terminal.

It ends with 0 when all went well, 1 when something was refused or failed, and 2 for wrong use or when there was no
answer; `verify` ends with 1 for different people.
"""

import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    import typer

    from face_client.command.application import application

    try:
        status = typer.main.get_command(application())(arguments, prog_name="face", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_use(error)
    except typer.Abort:
        print(file=sys.stderr)  # the question has no end of its own
        return _failed("stopped, nothing was done", 1)
    except Exception as error:
        return _fault(error)
    return status if isinstance(status, int) else 0


def run() -> NoReturn:
    """Run the command of this process, and end it with its status: at once, whoever still waits for an answer."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


def _wrong_use(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    message = getattr(error, "format_message", error.__str__)()
    if type(error).__name__ == "NoArgsIsHelpError":  # the help itself has been shown
        return 2
    return _failed(f"{' '.join(message.split()).rstrip('.')}{hint}", 2)


def _fault(error: Exception) -> int:
    """One line on what a command met; what nobody expects is raised again."""
    import httpx

    from face_client.errors import FaceServiceError

    if isinstance(error, FaceServiceError):
        return _failed(str(error), 1)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return _failed(f"not a service's address: {error}", 2)
    if isinstance(error, httpx.HTTPError):
        return _failed(f"no answer from the service ({error}); is it running at that address?", 2)
    if isinstance(error, OSError | ValueError):
        return _failed(str(error), 2)
    raise error


def _failed(message: str, status: int) -> int:
    from face_client.command.output import Output

    Output(as_json=False).error(message)
    return status


if __name__ == "__main__":
    run()
