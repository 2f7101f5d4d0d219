"""Faces that nobody has named: grouped by likeness, to be named at once."""

from urllib.parse import quote

from face_client.connection import Connection
from face_client.models import Cluster, Naming


class Clusters:
    """The groups of unknown faces of a collection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, *, limit: int | None = None, threshold: float | None = None) -> list[Cluster]:
        """The groups, the largest first; `threshold` is the largest distance within one."""
        params = {"limit": limit, "threshold": threshold}
        found: list[Cluster] = self._connection.call("GET", "/v1/clusters", params)["clusters"]
        return found

    def name(self, cluster: str, person: str) -> Naming:
        """Enrol the faces of a group as a person's; a verdict for each."""
        named: Naming = self._connection.call("POST", _one(cluster), json={"person": person})
        return named

    def dismiss(self, cluster: str) -> None:
        """Forget the faces of a group."""
        self._connection.answer("DELETE", _one(cluster))


def _one(cluster: str) -> str:
    return f"/v1/clusters/{quote(cluster, safe='')}"
