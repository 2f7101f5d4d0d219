"""How the service says no."""


class FaceServiceError(Exception):
    """The service refused or failed; `code` is stable and documented in docs/errors.md, `detail` is for people."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after: float | None = None, job: str | None = None
    ) -> None:
        """`retry_after` in seconds, where the service said when to try again; `job`: what can still be looked up."""
        super().__init__(f"{code} ({status}): {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.job = job
