"""The calls of /v1/fleet, and the refusal of photos that would wait too long."""

import math
import time
from typing import Annotated, Any, Literal

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, RootModel
from typing_extensions import TypedDict

from face_common.contract import Code
from face_common.errors import OverloadedError, ServiceError
from face_web import incoming
from face_web.access import Role
from face_web.routes import Absent, Queued, Routes
from face_web.scaler.decisions import moment, shown
from face_web.scaler.loop import Scaler
from face_web.scaler.model import Override
from face_web.scaler.suppositions import Supposition
from face_web.services import Services

_MOST_DECISIONS = 2000
_LONGEST_WHY = 200
_MOST_WORKERS = 1000
_NOT_SEEN = "the scaling loop has only just started; try again in some seconds"


_Rate = Annotated[float, Field(ge=0, le=10_000)]
_Photos = Annotated[int, Field(ge=0, le=1_000_000)]
_Workers = Annotated[int, Field(ge=0, le=_MOST_WORKERS)]
_Service = Annotated[float, Field(ge=0.001, le=3600)]
_Boot = Annotated[float, Field(ge=0, le=3600)]
_Drain = Annotated[float, Field(ge=1, le=86_400)]
_Share = Annotated[float, Field(ge=0.05, le=1)]


class DecisionsQuery(BaseModel):
    """How far back to look."""

    limit: int = Field(100, ge=1, le=_MOST_DECISIONS, description="How many decisions, the newest first.")


class WhatIfQuery(BaseModel):
    """Numbers to suppose in place of the present ones. Times in seconds."""

    model_config = ConfigDict(allow_inf_nan=False)

    arrival_rate: _Rate | Absent = Field(None, description="Photos a second that come in.")
    visible: _Photos | Absent = Field(None, description="Photos that wait.")
    in_flight: _Photos | Absent = Field(None, description="Photos that workers have in hand.")
    service_s: _Service | Absent = Field(None, description="Time a photo keeps a slot busy.")
    boot_s: _Boot | Absent = Field(None, description="Time a worker takes to be ready.")
    ready: _Workers | Absent = Field(None, description="Workers that are ready; none boots then.")
    min: _Workers | Absent = Field(None, description="Workers that always run.")
    max: _Workers | Absent = Field(None, description="Workers that may run at the same time.")
    drain_s: _Drain | Absent = Field(None, description="Time in which to end a backlog.")
    utilisation: _Share | Absent = Field(None, description="How busy a worker may be.")


class _Wish(BaseModel):
    """What the two kinds of override have in common."""

    model_config = ConfigDict(extra="forbid")

    why: str = Field(
        min_length=1,
        max_length=_LONGEST_WHY,
        pattern=incoming.LINE,
        description="One line, without anybody's name.",
    )
    until: incoming.Moment | None = Field(None, description="When it ends by itself; null: when it is lifted.")


class PauseBody(_Wish):
    """Neither start nor retire any worker."""

    mode: Literal["pause"]


class PinBody(_Wish):
    """Keep so many workers, whatever the load."""

    mode: Literal["pin"]
    workers: incoming.Whole = Field(ge=0, le=_MOST_WORKERS, description="How many; no more than FACE_MAX_WORKERS.")


class OverrideBody(RootModel[Annotated[PauseBody | PinBody, Field(discriminator="mode")]]):
    """What the fleet is to do for now, whatever the load."""


class OverrideInfo(TypedDict):
    """What an operator wants for now."""

    mode: Literal["pause", "pin"]
    workers: int | None
    """How many, where they are pinned."""
    why: str
    by: str
    """Id of the key that it was set with."""
    at: str
    until: str | None
    """When it ends by itself; null: when it is lifted."""


class OverrideAnswer(TypedDict):
    """The override, where there is one."""

    override: OverrideInfo | None


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _FleetCalls(services)
    routes = Routes("fleet", "/v1/fleet", tag="Fleet", about="How many workers there are, and why.")
    errors = (Code.NOT_FOUND, Code.PARAMETER_INVALID)
    unknown = (*errors, Code.FLEET_UNKNOWN)
    seen: dict[str, Any] = {"role": Role.SUBMIT, "scope": "caller"}
    told = {**seen, "answers": {200: {"application/json": {"type": "object"}}}}
    routes.add("GET", "", calls.status, id="get-fleet", errors=unknown, **told)
    routes.add("GET", "/decisions", calls.decisions, id="list-decisions", errors=errors, **told)
    routes.add("GET", "/what-if", calls.what_if, id="ask-what-if", errors=unknown, **told)
    wish: dict[str, Any] = {"answers": {200: OverrideAnswer}}
    run: dict[str, Any] = {**wish, "role": Role.ADMIN, "scope": "service"}
    wrong = (*errors, Code.MOMENT_PAST, Code.PIN_TOO_LARGE)
    routes.add("GET", "/override", calls.override, id="get-override", errors=errors, **wish, **seen)
    routes.add("PUT", "/override", calls.set_override, id="set-override", errors=wrong, **run)
    routes.add("DELETE", "/override", calls.lift_override, id="lift-override", errors=errors, **run)
    return routes


class _FleetCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def status(self) -> Response:
        """The fleet as the scaling loop sees it: queue, workers, rates, and its last decision."""
        return jsonify(_known(dict(self._scaler.status())))

    def decisions(self, query: DecisionsQuery) -> Response:
        """What the scaling loop decided, and why, the newest first."""
        return jsonify({"decisions": self._scaler.decisions(query.limit)})

    def what_if(self, query: WhatIfQuery) -> Response:
        """What the scaling loop would decide if some numbers were others. Changes nothing.

        As if they had been so for the whole quiet period; an override is left aside.
        """
        return jsonify(_known(self._scaler.what_if(Supposition(**query.model_dump()))))

    def override(self) -> Response:
        """What an operator wants of the fleet for now, whatever the load."""
        return jsonify({"override": shown(self._scaler.overrides.find(time.time()))})

    def set_override(self, body: OverrideBody) -> Response:
        """Pause the fleet, or pin it to a number of workers, until some time or until that is lifted.

        It takes the place of one that was set before. Whoever leads acts on it within a second.
        """
        overrides, wish, now = self._scaler.overrides, body.root, time.time()
        workers = wish.workers if isinstance(wish, PinBody) else None
        until = wish.until.timestamp() if wish.until else None
        most = overrides.usual.max_workers
        if workers is not None and workers > most:
            raise ServiceError(Code.PIN_TOO_LARGE, f"FACE_MAX_WORKERS allows for {most} workers")
        if until is not None and until <= now:
            raise ServiceError(Code.MOMENT_PAST, "until is in the past")
        who = incoming.caller().key
        override = Override(wish.mode, workers, wish.why, who, now, until)
        overrides.write(override)
        self._services.audit.record(who, "set-override", mode=wish.mode, workers=workers, until=until and moment(until))
        return jsonify({"override": shown(override)})

    def lift_override(self) -> Response:
        """End the override, if there is one: the load decides again."""
        self._scaler.overrides.lift()
        self._services.audit.record(incoming.caller().key, "lift-override")
        return jsonify({"override": None})

    @property
    def _scaler(self) -> Scaler:
        if self._services.scaler is None:
            raise ServiceError(Code.NOT_FOUND, "this deployment does not scale: FACE_LAUNCH_TEMPLATE is not set")
        return self._services.scaler


def _known(found: dict[str, Any]) -> dict[str, Any]:
    if not found:
        raise ServiceError(Code.FLEET_UNKNOWN, _NOT_SEEN)
    return found


def queued(services: Services, job_id: str) -> Response:
    """The state of a job that is not finished yet."""
    wait = predicted_wait(services)
    return jsonify(Queued(id=job_id, predicted_wait_s=wait).model_dump())


def predicted_wait(services: Services) -> float | None:
    """Seconds until a worker would begin with a photo that comes now; None where that is not known."""
    wait = services.scaler.predicted_wait() if services.scaler is not None else None
    return None if wait is None else round(wait, 1)


def admit(services: Services) -> None:
    """OverloadedError when a photo that comes now would wait longer than the operator allows."""
    if services.scaler is None:
        return
    wait, limit = services.scaler.predicted_wait(), services.settings.longest_queue_seconds
    if wait is not None and wait > limit:
        services.metrics.overloaded.inc()
        detail = f"a photo would wait about {wait:.0f} s, more than the {limit:.0f} s that are allowed"
        raise OverloadedError(detail, retry_after=math.ceil(wait - limit), predicted_wait=wait)
