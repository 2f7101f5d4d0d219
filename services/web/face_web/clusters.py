"""The calls of /v1/clusters: faces that nobody was named for, grouped to be named together."""

import time
from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from face_common.clusters import THRESHOLD
from face_common.contract import Code, EnrolledPhoto
from face_web import incoming
from face_web.access import Role
from face_web.batches.model import file_id
from face_web.idempotency import Outcome
from face_web.routes import CollectionQuery, Routes
from face_web.services import Services
from face_web.strangers import Cluster


class ClusterPath(BaseModel):
    """A group in a path."""

    cluster: str = Field(pattern="^[0-9a-f]{24}$", description="As GET /v1/clusters names it.")


class ClustersQuery(CollectionQuery):
    """Which groups."""

    limit: int = Field(20, ge=1, le=200, description="How many groups, the largest first.")
    threshold: float = Field(
        THRESHOLD,
        gt=0,
        le=2,
        allow_inf_nan=False,
        description="L2 distance at unit length that faces of a group have in the mean; lower is stricter.",
    )


class NamingBody(BaseModel):
    """Whose faces they are."""

    model_config = ConfigDict(extra="forbid")

    person: incoming.Person


class ClustersAnswer(TypedDict):
    """Groups of faces that nobody was named for."""

    collection: str
    clusters: list[Cluster]


class NamingAnswer(TypedDict):
    """What became of a group's faces."""

    person: str
    photos: list[EnrolledPhoto]


class DismissalAnswer(TypedDict):
    """How many faces were forgotten."""

    cluster: str
    faces: int


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _ClusterCalls(services)
    routes = Routes("clusters", "/v1/clusters", tag="Clusters", about="Faces that nobody was named for.")
    enrol: dict[str, Any] = {"role": Role.ENROL}
    routes.add("GET", "", calls.clusters, id="list-clusters", answers={200: ClustersAnswer}, **enrol)
    errors = (Code.NOT_FOUND,)
    routes.add(
        "POST",
        "/<cluster>",
        calls.name,
        id="name-cluster",
        answers={201: NamingAnswer},
        errors=(*errors, Code.PERSON_INVALID, Code.CONSENT_MISSING, Code.SERVER_BUSY),
        **enrol,
    )
    routes.add(
        "DELETE",
        "/<cluster>",
        calls.dismiss,
        id="dismiss-cluster",
        answers={200: DismissalAnswer},
        errors=errors,
        **enrol,
    )
    return routes


class _ClusterCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def clusters(self, query: ClustersQuery) -> Response:
        """Faces that nobody was named for, grouped by likeness, the largest groups first.

        Only where the operator has unknown faces kept (FACE_KEEP_UNKNOWN); of those, the newest 3,000.
        """
        found = self._services.strangers.clusters(query.collection, query.threshold, query.limit)
        return jsonify({"collection": query.collection, "clusters": found})

    def name(self, path: ClusterPath, query: CollectionQuery, body: NamingBody) -> tuple[Response, int]:
        """Enrol a group's faces as a person's, whether that person is enrolled already or not."""
        collection, person, strangers = query.collection, body.person, self._services.strangers
        self._services.records.require_consent(collection, person)
        (request_id,) = incoming.ids(self._services, 1, person.encode())

        def change() -> Outcome:
            seen = strangers.identifications(collection, path.cluster)
            ids = [file_id(request_id, place) for place in range(len(seen))]
            photos, version = strangers.name(collection, path.cluster, person, ids, time.time())
            nameless = [{**photo, "name": seen_in} for photo, seen_in in zip(photos, seen, strict=True)]
            return {"photos": nameless, "version": version}

        def conclude(named: Outcome) -> None:
            accepted = sum(photo["verdict"] == "accepted" for photo in named["photos"])
            facts = {"cluster": path.cluster, "photos": accepted, "version": named["version"]}
            self._record("name-cluster", collection, person, **facts)

        named = self._services.idempotency.once(request_id, change, conclude)
        return jsonify({"person": person, "photos": strangers.titled(named["photos"])}), 201

    def dismiss(self, path: ClusterPath, query: CollectionQuery) -> Response:
        """Forget a group's faces."""
        faces = self._services.strangers.dismiss(query.collection, path.cluster)
        self._record("dismiss-cluster", query.collection, "", cluster=path.cluster, faces=faces)
        return jsonify({"cluster": path.cluster, "faces": faces})

    def _record(self, action: str, collection: str, person: str, **facts: Any) -> None:
        audit = self._services.audit
        subject = audit.subject(collection, person) if person else ""
        audit.record(incoming.caller().key, action, collection, subject, **facts)
