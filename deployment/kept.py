"""Secrets of a deployment, kept beside its state.

They are in files that only their owner reads, and where the state lies in a bucket, there as well, so that whoever
deploys next has them, too.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from deployment.options import Options

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Kept:
    """What is kept of one deployment, by short names."""

    def __init__(self, options: Options) -> None:
        """Uses the credentials of the options."""
        self._options = options

    def file(self, name: str) -> Path:
        """Where it lies on this machine."""
        return self._options.state / name

    def find(self, name: str) -> str | None:
        """What is kept under the name; None when nothing is."""
        if self._options.state_bucket:
            s3 = self._s3()
            try:
                text = s3.get_object(Bucket=self._options.state_bucket, Key=self._key(name))["Body"].read().decode()
            except s3.exceptions.NoSuchKey:
                return None
            self._write(name, text)
        return self.file(name).read_text() if self.file(name).exists() else None

    def keep(self, name: str, text: str) -> None:
        """Keep this, whatever was kept before."""
        if self._options.state_bucket:
            self._s3().put_object(Bucket=self._options.state_bucket, Key=self._key(name), Body=text.encode())
        self._write(name, text)

    def keep_first(self, name: str, text: str) -> None:
        """Keep this, or what is kept already: of two who do it at the same time, one has done it for both."""
        if self.find(name) is not None:
            return
        if self._options.state_bucket:
            s3 = self._s3()
            try:
                s3.put_object(
                    Bucket=self._options.state_bucket, Key=self._key(name), Body=text.encode(), IfNoneMatch="*"
                )
            except s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                self.find(name)
                return
        self._write(name, text)

    def forget(self, name: str) -> None:
        """Keep nothing under the name."""
        if self._options.state_bucket:
            self._s3().delete_object(Bucket=self._options.state_bucket, Key=self._key(name))
        self.file(name).unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        file = self.file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
        partial.replace(file)

    def _key(self, name: str) -> str:
        return f"elastic-face/{self._options.deployment}.{name}"

    def _s3(self) -> "S3Client":
        aws = self._options.aws
        session = boto3.session.Session(
            aws_access_key_id=aws.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=aws.get("AWS_SECRET_ACCESS_KEY"),
            region_name=self._options.region or None,
        )
        return session.client("s3", endpoint_url=aws.get("AWS_ENDPOINT_URL"))
