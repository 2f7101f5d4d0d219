"""The one stored result of each job: whoever finishes first writes it, and nobody changes it afterwards."""

import json

from face_common.contract import Result, result_key
from face_common.errors import ObjectMissingError
from face_common.ports import ObjectStore


def stored_result(store: ObjectStore, job_id: str) -> Result | None:
    """The job's result, if it is finished."""
    try:
        result: Result = json.loads(store.get(result_key(job_id)))
    except ObjectMissingError:
        return None
    return result


def settle(store: ObjectStore, result: Result) -> Result | None:
    """Store a job's result unless there is one already; None when it was stored, else the earlier one, which counts."""
    body = json.dumps(result, separators=(",", ":")).encode()
    if store.put_new(result_key(result["id"]), body, "application/json"):
        return None
    return stored_result(store, result["id"])
