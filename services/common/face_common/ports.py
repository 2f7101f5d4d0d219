"""What the tiers need of a store and a queue, free of any vendor. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol


class ObjectStore(Protocol):
    """A bucket. Every call raises TransientError when the store cannot be reached."""

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write an object, over whatever was there."""

    def put_new(self, key: str, body: bytes, content_type: str) -> bool:
        """Write an object only where there is none; False when one exists, which stays as it is."""

    def get(self, key: str) -> bytes:
        """An object's bytes; ObjectMissingError when there is none."""

    def exists(self, key: str) -> bool:
        """Whether there is an object under this key."""

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """An object's bytes and the tag of exactly these; ObjectMissingError when there is none."""

    def put_over(self, key: str, body: bytes, content_type: str, tag: str) -> str | None:
        """Write over the object that still has this tag; the new tag, or None when it has changed or gone meanwhile."""

    def tags(self, prefix: str) -> dict[str, str]:
        """The tag of every object under a prefix, by key in ascending order."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; a key without an object is no error."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing."""

    key: str
    size: int
    """Bytes."""
    tag: str
    """As get_tagged gives it."""
    modified_at: float
    """Seconds since the epoch."""


class Bucket(ObjectStore, Protocol):
    """A store that one can also look through, read in pieces, and make forget."""

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Write what is left of a file, piece by piece, over whatever was there. It may close the file."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start` on, fewer at the object's end; ObjectMissingError when there is none."""

    def entries(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Every object under a prefix whose key sorts behind `after`, in ascending order, read page by page."""

    def purge(self, keys: Sequence[str]) -> int:
        """Remove objects with all their earlier versions, whether they still exist or not; how many versions went."""

    def purge_until(self, prefix: str, end: str) -> int:
        """Remove the objects under a prefix whose key sorts before `end`, with all versions; how many of those went."""

    def purge_older(self, prefix: str) -> int:
        """Remove under a prefix every version but the present one of each object; how many went."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received message, held until it is deleted, released or its visibility timeout ends."""

    body: str
    receipt: str
    deliveries: int
    """How often it has been received, this time included."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue holds, approximately."""

    visible: int
    """Waiting for somebody to receive them, or for their delay to end."""
    in_flight: int
    """Received and held by somebody."""


class Queue(Protocol):
    """A queue that delivers each message at least once.

    Every call raises TransientError when it cannot be reached; QueueMissingError, which is one, when there is none.
    """

    def send(self, body: str) -> None:
        """Add a message."""

    def receive(self, limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        """Up to `limit` (1 to 10) messages, waiting as long as that for the first; others do not see them meanwhile."""

    def hold(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Keep messages from others for so many seconds; 0 gives them back. Returns receipts no longer held."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Remove messages for good."""

    def counts(self) -> Counts:
        """How many messages there are; SQS counts approximately, and is right a minute after the last change."""


class Queues(Protocol):
    """Queues by their URL."""

    def __call__(self, url: str) -> Queue:
        """The queue at this URL."""
