"""Looks for what is left of a person in a bucket: in every version of every object and every row of Lance's files."""

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import lance.file

from face_common import encodings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass(frozen=True)
class Wanted:
    """What nobody may find any more."""

    names: Sequence[str]
    photos: Sequence[bytes]
    templates: Sequence[Sequence[float]]

    def forms(self) -> dict[str, bytes]:
        """Each in every form in which it may be written down."""
        forms: dict[str, bytes] = {}
        for name in self.names:
            written = {name, json.dumps(name)[1:-1], quote(name), quote(name, safe=""), quote_plus(name), repr(name)}
            written.add(name.replace("'", "''"))
            forms |= {f"the name {form}": form.encode() for form in written}
        for number, photo in enumerate(self.photos):
            sha, md5 = hashlib.sha256(photo), hashlib.md5(photo, usedforsecurity=False)
            forms |= {f"photo {number}": photo[-1000:], f"SHA-256 {number}": sha.hexdigest().encode()}
            forms |= {f"raw SHA-256 {number}": sha.digest(), f"MD5 {number}": md5.hexdigest().encode()}
            forms |= {f"raw MD5 {number}": md5.digest()}
        for number, template in enumerate(self.templates):
            body = encodings.to_bytes(template)
            forms |= {f"encoding {number}": body, f"encoding {number} as text": base64.b64encode(body)}
            forms |= {f"encoding {number} in numbers": ", ".join(map(repr, list(template)[:3])).encode()}
        return forms


def remains(s3: "S3Client", bucket: str, wanted: Wanted) -> list[str]:
    """Where something of it is: `<key> <version>: <what>`."""
    forms = wanted.forms()
    found = []
    for key, version, body in _versions(s3, bucket):
        texts = [key.encode(), body, *(_rows(body) if "/data/" in key and key.endswith(".lance") else ())]
        hits = {what for what, form in forms.items() if any(form in text for text in texts)}
        found += [f"{key} {version}: {what}" for what in sorted(hits)]
    return found


def _versions(s3: "S3Client", bucket: str) -> Iterator[tuple[str, str, bytes]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for entry in page.get("DeleteMarkers", ()):
            yield entry["Key"], entry["VersionId"], b""
        for version in page.get("Versions", ()):
            answer = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            tag = answer["ETag"].strip('"').encode()
            yield version["Key"], version["VersionId"], answer["Body"].read() + b" " + tag


def _rows(body: bytes) -> Iterator[bytes]:
    """Every row that a data file of Lance holds, whatever a deletion file says of it."""
    with tempfile.NamedTemporaryFile(suffix=".lance") as file:
        file.write(body[: body.rindex(b" ")])
        file.flush()
        for row in lance.file.LanceFileReader(file.name).read_all().to_table().to_pylist():
            encoding = row.pop("encoding", None)
            yield json.dumps(row, default=str, ensure_ascii=False).encode()
            if encoding is not None:
                yield encodings.to_bytes(encoding)
