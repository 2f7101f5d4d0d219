"""A collection as a whole: what is in it, its versions, and its way to another service and back."""

from typing import Any, BinaryIO

from face_client.connection import Connection
from face_client.models import Bulk, GalleryVersion, Restoration


class Gallery:
    """The gallery of one collection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def describe(self) -> dict[str, Any]:
        """How many people and photos are in it, at which version, and which models encoded them."""
        found: dict[str, Any] = self._connection.call("GET", "/v1/gallery")
        return found

    def calibration(self) -> dict[str, Any]:
        """How its threshold was found, and what it does: distances as histograms, and the ROC."""
        found: dict[str, Any] = self._connection.call("GET", "/v1/gallery/calibration")
        return found

    def versions(self) -> list[GalleryVersion]:
        """The states that it can go back to, the newest first."""
        found: list[GalleryVersion] = self._connection.call("GET", "/v1/gallery/versions")["versions"]
        return found

    def restore(self, version: int) -> Restoration:
        """Go back to an earlier version, which becomes the newest."""
        done: Restoration = self._connection.call("POST", "/v1/gallery/restorations", json={"version": version})
        return done

    def export(self, to: BinaryIO) -> int:
        """Write everybody's templates as JSON lines to an open file; how many bytes it has."""
        return self._connection.save("/v1/gallery/export", to)

    def load(self, exported: BinaryIO) -> dict[str, Any]:
        """Take in what `export` wrote, read from an open file while it is sent."""
        answer: dict[str, Any] = self._connection.call(
            "POST", "/v1/gallery/imports", content=exported, kind="application/jsonl"
        )
        return answer

    def reencode(self) -> Bulk:
        """Encode every enrolled photo anew with the model of today; it goes on in the background as a batch does."""
        started: Bulk = self._connection.call("POST", "/v1/gallery/reencodings")
        return started
