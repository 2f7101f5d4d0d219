"""Python client of Elastic Face Recognition."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from face_client.client import FaceClient
    from face_client.errors import FaceServiceError

__all__ = ["FaceClient", "FaceServiceError"]


def __getattr__(name: str) -> Any:
    """What the package exports, imported when it is needed: the command has to start at once."""
    if name == "FaceClient":
        from face_client.client import FaceClient  # noqa: PLC0415

        return FaceClient
    if name == "FaceServiceError":
        from face_client.errors import FaceServiceError  # noqa: PLC0415

        return FaceServiceError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
