"""What the S3 adapter does when S3 breaks off in the middle of an answer."""

import io
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from face_common.errors import ObjectMissingError, TransientError
from face_common.s3 import S3ObjectStore

WANTED = {"Bucket": "bucket", "Key": "a"}


def answer(body: bytes, length: int) -> dict[str, Any]:
    """A body that ends before its announced length when there is less of it."""
    return {"Body": StreamingBody(io.BytesIO(body), length), "ETag": '"tag"'}


@pytest.fixture
def s3() -> Any:
    return boto3.client("s3", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")


def test_a_body_that_breaks_off_is_asked_for_again(s3: Any) -> None:
    with Stubber(s3) as stub:
        stub.add_response("get_object", answer(b"ab", 6), {**WANTED, "Range": "bytes=2-7"})
        stub.add_response("get_object", answer(b"abcdef", 6), {**WANTED, "Range": "bytes=2-7"})
        assert S3ObjectStore(s3, "bucket").get_range("a", 2, 6) == b"abcdef"
        stub.assert_no_pending_responses()


def test_an_object_that_is_gone_by_then_is_missing(s3: Any) -> None:
    with Stubber(s3) as stub:
        stub.add_response("get_object", answer(b"", 6), WANTED)
        stub.add_client_error("get_object", "NoSuchKey", http_status_code=404, expected_params=WANTED)
        with pytest.raises(ObjectMissingError):
            S3ObjectStore(s3, "bucket").get("a")


def test_bodies_that_always_break_off_are_a_fault_of_the_moment(s3: Any) -> None:
    with Stubber(s3) as stub:
        for _ in range(3):
            stub.add_response("get_object", answer(b"", 6), WANTED)
        with pytest.raises(TransientError, match="S3 cannot be reached for a"):
            S3ObjectStore(s3, "bucket").get_tagged("a")
        stub.assert_no_pending_responses()
