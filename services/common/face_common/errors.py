"""Failures that the tiers tell apart. Pure."""

from face_common.contract import Code


class ServiceError(Exception):
    """A failure with a stable code for clients and a sentence for people."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code = code
        self.detail = detail


class PermanentError(ServiceError):
    """Trying again cannot help: the job is answered with a failed result at once."""


class TransientError(ServiceError):
    """Trying again may help: the job goes back to the queue and, after some deliveries, to the dead letters."""


class QueueMissingError(TransientError):
    """There is no such queue. For a queue of answers: whoever listened to it is gone."""

    def __init__(self, detail: str) -> None:
        super().__init__(Code.STORAGE_UNAVAILABLE, detail)


class OverloadedError(ServiceError):
    """The service would not come to this photo for too long."""

    def __init__(self, detail: str, retry_after: int, predicted_wait: float) -> None:
        """Both in seconds: when to try again, and how long the photo would wait if it were taken now."""
        super().__init__(Code.OVERLOADED, detail)
        self.retry_after = retry_after
        self.predicted_wait = predicted_wait


class RateLimitedError(ServiceError):
    """Whoever asks does so too often."""

    def __init__(self, detail: str, retry_after: float) -> None:
        """`retry_after` in seconds."""
        super().__init__(Code.RATE_LIMITED, detail)
        self.retry_after = retry_after


class ObjectMissingError(Exception):
    """The object store holds nothing under this key."""
