"""A Queue in SQS."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from face_common.contract import Code
from face_common.errors import QueueMissingError, TransientError
from face_common.ports import Counts, Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_MISSING = ("NonExistentQueue", "QueueDoesNotExist")
_BATCH = 10  # SQS takes no more entries a call


class SqsQueue:
    """One queue by its URL. Thread-safe, as boto3 clients are."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str) -> None:
        """See Queue."""
        with _translated():
            self._client.send_message(QueueUrl=self._url, MessageBody=body)

    def receive(self, limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        """See Queue."""
        with _translated():
            response = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(limit, _BATCH),
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=hide_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                body=entry["Body"],
                receipt=entry["ReceiptHandle"],
                deliveries=int(entry["Attributes"]["ApproximateReceiveCount"]),
            )
            for entry in response.get("Messages", ())
        ]

    def hold(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """See Queue."""
        lost = []
        for batch in _batches(receipts):
            with _translated():
                response = self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                        for index, receipt in enumerate(batch)
                    ],
                )
            lost += [batch[int(entry["Id"])] for entry in response.get("Failed", ())]
        return lost

    def delete(self, receipts: Sequence[str]) -> None:
        """See Queue. A message that is gone already, or is held by another by now, is left to its fate."""
        for batch in _batches(receipts):
            with _translated():
                self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(batch)],
                )

    def counts(self) -> Counts:
        """See Queue."""
        with _translated():
            response = self._client.get_queue_attributes(
                QueueUrl=self._url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )
        numbers = {name: int(value) for name, value in response["Attributes"].items()}
        return Counts(
            visible=numbers["ApproximateNumberOfMessages"] + numbers["ApproximateNumberOfMessagesDelayed"],
            in_flight=numbers["ApproximateNumberOfMessagesNotVisible"],
        )


class SqsQueues:
    """Opens queues by URL over one client."""

    def __init__(self, client: "SQSClient") -> None:
        self._client = client

    def __call__(self, url: str) -> SqsQueue:
        """See Queues."""
        return SqsQueue(self._client, url)


def _batches(receipts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (receipts[start : start + _BATCH] for start in range(0, len(receipts), _BATCH))


@contextmanager
def _translated() -> Iterator[None]:
    """SQS's failures in the words of the port."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code", "").endswith(_MISSING):
            raise QueueMissingError(str(error)) from error
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"SQS cannot serve: {error}") from error
    except BotoCoreError as error:
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"SQS cannot serve: {error}") from error
