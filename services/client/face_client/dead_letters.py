"""Jobs that no worker could finish, for who administers the service."""

from collections.abc import Iterator
from urllib.parse import quote

from face_client.connection import Connection
from face_client.models import DeadLetter

_PATH = "/v1/dead-letters"


class DeadLetters:
    """Lists dead letters, and sends them anew or discards them, each by its job's id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Iterator[DeadLetter]:
        """Every one, the newest first, fetched page by page."""
        return self._connection.pages(_PATH, "dead_letters")

    def redrive(self, job: str) -> None:
        """Send a job anew, under its id: its answer is looked up as any other's. Files of batches are refused."""
        self._connection.answer("POST", f"{_one(job)}/redrive")

    def discard(self, job: str) -> None:
        """Forget a dead letter; the job's failed result stays as it is."""
        self._connection.answer("DELETE", _one(job))


def _one(job: str) -> str:
    return f"{_PATH}/{quote(job, safe='')}"
