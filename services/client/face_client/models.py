"""What the service answers, where the contract does not say so already. Times are ISO 8601, in UTC."""

from typing import Any, Literal, NotRequired, TypedDict

from face_common.contract import Box, Candidate, EnrolledPhoto, Result, Verdict


class PersonSummary(TypedDict):
    """A person and how many photos of them are enrolled."""

    person: str
    photos: int
    photo: str
    """Id of the first of them."""


class PersonPhoto(TypedDict):
    """One enrolled photo."""

    photo: str
    name: str
    enrolled_at: float
    """Seconds since the epoch."""


class NamedFace(TypedDict):
    """A face that was answered with a person's name."""

    id: str
    """Of the identification."""
    face: int
    """Which of its faces, counted from 0."""
    name: str
    """The photo's file name."""
    asked_at: str
    distance: float | None


class NamedFaces(TypedDict):
    """Answers that name a person, the newest first."""

    collection: str
    person: str
    identifications: list[NamedFace]
    looked_at: int
    """Answers that were looked through."""
    complete: bool
    """Whether those are all that name the person."""


class Consent(TypedDict, total=False):
    """Where it is written that a person agreed, and since when."""

    reference: str
    given_at: str


class Person(TypedDict):
    """What is kept on a person."""

    person: str
    collection: str
    photos: list[PersonPhoto]
    consent: Consent | None
    expires_at: str | None


class Receipt(TypedDict):
    """What an erasure removed. Answers given from `gallery_version` on do not know it any more."""

    id: str
    state: Literal["running", "done"]
    person: NotRequired[str | None]
    """Only in the answer to whoever asks for the erasure: the receipt that is kept does not name them."""
    subject: str
    """Stands for the person in the audit log; empty for a whole collection."""
    collection: str
    photos: list[str]
    templates: int
    results: int
    probes: int
    versions: int
    gallery_version: int
    began_at: str
    finished_at: str | None
    pending: int


BulkState = Literal["queued", "running", "done", "cancelled", "failed"]


class Bulk(TypedDict):
    """How far a batch, an import or a reencoding has come."""

    id: str
    kind: Literal["batch", "import", "reencoding"]
    collection: str
    state: BulkState
    total: int | None
    finished: int
    outcomes: dict[str, int]
    created_at: str
    started_at: str | None
    finished_at: str | None
    rate_per_s: float | None
    eta_s: float | None
    error: Any


class BulkResult(TypedDict):
    """What became of one file of a batch or an import."""

    index: int
    name: str
    outcome: str
    detail: str
    id: str
    result: Result | None


class BulkOptions(TypedDict, total=False):
    """What may be said about a batch (`top`, `max_faces`) or an import (`insist`, `consent`)."""

    top: int
    max_faces: int
    insist: bool
    consent: str
    webhook: str


class ClusterFace(TypedDict):
    """One face that nobody has named."""

    identification: str
    face: int
    box: Box


class Cluster(TypedDict):
    """Faces that nobody has named and that are probably one person's."""

    cluster: str
    size: int
    faces: list[ClusterFace]


class Naming(TypedDict):
    """What became of the faces of a group that was named."""

    person: str
    photos: list[EnrolledPhoto]


class ReviewedFace(TypedDict):
    """A face of an answer that nobody has looked at."""

    identification: str
    face: int
    """Which of its faces, counted from 0."""
    name: str
    asked_at: str
    """ISO 8601, in UTC."""
    box: Box
    decision: Literal["match", "ambiguous", "unknown"]
    person: str | None
    distance: float | None
    candidates: list[Candidate]


class MadeRejection(TypedDict):
    """What became of a rejection."""

    rejection: str
    identification: str
    face: int
    person: str | None
    """Whom it is not; of an ambiguous face, the nearest."""
    verdict: Verdict
    detail: str


class Rejection(TypedDict):
    """A rejected face."""

    rejection: str
    identification: str | None
    face: int | None
    person: str | None
    """Whom it is not; None once the answer is not kept any more."""
    rejected_at: str
    """ISO 8601, in UTC."""


class Restoration(TypedDict):
    """What going back to an earlier version has changed."""

    collection: str
    restored: int
    gallery_version: int
    """Answers given from it on know the collection as it was."""
    removed: list[str]
    """Ids of photos that are not enrolled any more."""
    added: list[str]
    """Ids of photos that are enrolled again."""


class Key(TypedDict):
    """A key, without what makes it usable; `key` is its id."""

    key: str
    name: str
    role: Literal["submit", "enrol", "admin"]
    collections: list[str] | None
    rate: float | None
    created_at: str
    created_by: str
    expires_at: str | None
    used_at: str | None


class NewKey(Key):
    """A key that has just been made."""

    secret: str
    """Its text, which is shown this once."""


class AuditEntry(TypedDict):
    """One line of the log of who did what."""

    id: str
    at: str
    who: str
    action: str
    collection: str
    subject: str
    """Stands for a person: the same for a name and a collection, but the name does not follow from it."""
    facts: dict[str, Any]


class Me(TypedDict):
    """Who the service takes one for."""

    key: str
    name: str
    role: str
    collections: list[str] | None
    open: bool


class CollectionSummary(TypedDict):
    """A collection and what is in it."""

    collection: str
    people: int
    photos: int
    templates: int
    """A photo has one of each model that has encoded it."""
    version: int
    models: list[str]


class GalleryVersion(TypedDict, total=False):
    """A state of a collection that can be gone back to."""

    version: int
    at: str
    rows: int | None


class Override(TypedDict):
    """What an operator wants of the fleet for now, whatever the load."""

    mode: Literal["pause", "pin"]
    workers: int | None
    """How many, where they are pinned."""
    why: str
    by: str
    """Id of the key that it was set with."""
    at: str
    until: str | None
    """When it ends by itself; None: when it is lifted."""


class Supposition(TypedDict, total=False):
    """Numbers to suppose in place of the present ones; what is left out is as it is. Times in seconds."""

    arrival_rate: float
    """Photos a second that come in."""
    visible: int
    """Photos that wait."""
    in_flight: int
    """Photos that workers have in hand."""
    service_s: float
    """Time a photo keeps a slot busy."""
    boot_s: float
    """Time a worker takes to be ready."""
    ready: int
    """Workers that are ready; none boots then."""
    min: int
    """Workers that always run."""
    max: int
    """Workers that may run at the same time."""
    drain_s: float
    """Time in which to end a backlog."""
    utilisation: float
    """How busy a worker may be, up to 1."""


class DeadLetter(TypedDict):
    """A job that no worker could finish."""

    id: str
    operation: str
    collection: str
    name: str
    """The photo's file name."""
    at: str
    """When it was given up."""
    code: str
    detail: str
    state: Literal["dead", "redriven", "answered"]
    """`redriven`: it was sent anew and is not answered yet; `answered`: and has another answer now."""
    redriven: NotRequired[str]
    """When it was sent anew."""
    batch: NotRequired[str]
    """Id of the batch or import whose file it is: such a job is not sent anew."""


class Webhook(TypedDict):
    """A destination that the operator has named, and how it is with it."""

    webhook: str
    url: str
    pending: int
    dead: int
