"""Python client of Elastic Face Recognition."""

from face_client.client import FaceClient, FaceServiceError

__all__ = ["FaceClient", "FaceServiceError"]
