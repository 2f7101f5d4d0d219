"""A Bucket in S3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, BinaryIO

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from face_common.contract import Code
from face_common.errors import ObjectMissingError, TransientError
from face_common.ports import Entry

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef

_DELETE_BATCH = 1000  # DeleteObjects takes no more
_READS = 3  # of a body that breaks off


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
        return self._read(key)[0]

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
        return self._read(key)

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

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> None:
        """See Bucket. A multipart upload, where the file is large."""
        try:
            with _translated(key):
                self._client.upload_fileobj(file, self._bucket, key, ExtraArgs={"ContentType": content_type})
        except Boto3Error as error:
            raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 did not take {key}: {error}") from error

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See Bucket."""
        try:
            return self._read(key, Range=f"bytes={start}-{start + length - 1}")[0]
        except _RangeError:
            return b""

    def entries(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """See Bucket."""
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=after)
        )
        while True:
            with _translated(prefix):
                page = next(pages, None)
            if page is None:
                return
            for found in page.get("Contents", ()):
                modified_at = found["LastModified"].timestamp()
                yield Entry(found["Key"], found["Size"], found["ETag"], modified_at)

    def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore."""
        self._delete([{"Key": key} for key in keys])

    def purge(self, keys: Sequence[str]) -> int:
        """See Bucket."""
        doomed = [version for key in keys for version in self._versions(key) if version["Key"] == key]
        self._delete(doomed)
        return len(doomed)

    def purge_until(self, prefix: str, end: str) -> int:
        """See Bucket. Versions are listed by key, so that it reads no further than `end`."""
        gone = 0
        versions = takewhile(lambda version: version["Key"] < end, self._versions(prefix))
        while doomed := list(islice(versions, _DELETE_BATCH)):
            self._delete(doomed)
            gone += len(doomed)
        return gone

    def purge_older(self, prefix: str) -> int:
        """See Bucket. A deleted object's mark is one of its versions, and goes with them."""
        doomed = list(self._versions(prefix, present=False))
        self._delete(doomed)
        return len(doomed)

    def _read(self, key: str, reads: int = _READS, **options: Any) -> tuple[bytes, str]:
        """What is in an object, and its ETag. botocore tries a request again, but not one whose body breaks off."""
        with _translated(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **options)
            try:
                return answer["Body"].read(), answer["ETag"]
            except BotoCoreError:
                if reads == 1:
                    raise
        return self._read(key, reads - 1, **options)

    def _versions(self, prefix: str, *, present: bool = True) -> "Iterator[ObjectIdentifierTypeDef]":
        """Versions and marks of deletion under a prefix, by key; with those that are objects now, or without them."""
        with _translated(prefix):
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                kept = [version for version in page.get("Versions", ()) if present or not version["IsLatest"]]
                found = [(entry["Key"], entry["VersionId"]) for entry in (*kept, *page.get("DeleteMarkers", ()))]
                for key, version_id in sorted(found):
                    yield {"Key": key, "VersionId": version_id}

    def _delete(self, objects: "Sequence[ObjectIdentifierTypeDef]") -> None:
        for start in range(0, len(objects), _DELETE_BATCH):
            with _translated(objects[start]["Key"]):
                response = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": list(objects[start : start + _DELETE_BATCH]), "Quiet": True},
                )
            if response.get("Errors"):
                raise TransientError(Code.STORAGE_UNAVAILABLE, f"not deleted: {response['Errors'][0].get('Key')}")


class _ConditionError(Exception):
    """A conditional write found another object than it was made for."""


class _RangeError(Exception):
    """A range begins behind the object's end."""


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
        if reason == "InvalidRange":
            raise _RangeError(key) from error
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 answered {reason} for {key}") from error
    except BotoCoreError as error:
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 cannot be reached for {key}: {error}") from error
