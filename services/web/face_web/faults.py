"""Says in a log what went wrong, without a word of whom it was about."""

import traceback

from face_common.errors import ServiceError


def told(error: Exception) -> dict[str, str]:
    """What a log may say of a fault. Details have keys in them, and those of the inbox have people's names."""
    if isinstance(error, ServiceError):
        cause = error.__cause__
        answer = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
        reasons = (error.code.value, type(cause).__name__ if cause else "", answer)
        return {"reason": ": ".join(reason for reason in reasons if reason)}
    return {"reason": type(error).__name__, "trace": "".join(traceback.format_tb(error.__traceback__))}
