"""An ObjectStore in S3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from face_common.contract import Code
from face_common.errors import ObjectMissingError, TransientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_DELETE_BATCH = 1000  # DeleteObjects takes no more


class S3ObjectStore:
    """One bucket. Thread-safe, as boto3 clients are."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """See ObjectStore."""
        with _translated(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    def put_new(self, key: str, body: bytes, content_type: str) -> bool:
        """See ObjectStore. One conditional PUT, so that of many writers exactly one wins."""
        try:
            with _translated(key):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
                )
        except _ConditionError:
            return False
        return True

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        with _translated(key):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def exists(self, key: str) -> bool:
        """See ObjectStore."""
        try:
            with _translated(key):
                self._client.head_object(Bucket=self._bucket, Key=key)
        except ObjectMissingError:
            return False
        return True

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """See ObjectStore. The tag is the ETag."""
        with _translated(key):
            response = self._client.get_object(Bucket=self._bucket, Key=key)
            return response["Body"].read(), response["ETag"]

    def put_over(self, key: str, body: bytes, content_type: str, tag: str) -> str | None:
        """See ObjectStore. One conditional PUT."""
        try:
            with _translated(key):
                response = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfMatch=tag
                )
        except (_ConditionError, ObjectMissingError):
            return None
        return response["ETag"]

    def tags(self, prefix: str) -> dict[str, str]:
        """See ObjectStore."""
        with _translated(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", ())}

    def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore."""
        for start in range(0, len(keys), _DELETE_BATCH):
            with _translated(keys[start]):
                response = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in keys[start : start + _DELETE_BATCH]], "Quiet": True},
                )
            if response.get("Errors"):
                raise TransientError(Code.STORAGE_UNAVAILABLE, f"not deleted: {response['Errors'][0].get('Key')}")


class _ConditionError(Exception):
    """A conditional write found another object than it was made for."""


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """S3's failures in the words of the port."""
    try:
        yield
    except ClientError as error:
        reason = error.response.get("Error", {}).get("Code", "")
        if reason in ("NoSuchKey", "404", "NotFound"):
            raise ObjectMissingError(key) from error
        # 409: another conditional write of this key is under way, so that one of the two will have won.
        if reason in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
            raise _ConditionError(key) from error
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 answered {reason} for {key}") from error
    except BotoCoreError as error:
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 cannot be reached for {key}: {error}") from error
