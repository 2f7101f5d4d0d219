"""Keeps the bucket's objects in a folder, since LocalStack forgets everything when it stops."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_THREADS = 8
GALLERY = "gallery/"
_OF_ONE_RUN = ("fleet/leader.json", "fleet/reports/")  # who leads and who works now: no news for the next run


class Mirror:
    """A folder with a file for each object. Thread-safe.

    File names are the quoted keys, so that no key can lead out of the folder. `etags.json` tells which objects have
    not changed since they were saved.
    """

    def __init__(self, s3: "S3Client", bucket: str, folder: Path) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._folder = folder
        self._index = folder / "etags.json"
        self._objects = folder / "objects"
        self._lock = threading.Lock()
        self._awaited = {key for key in self._etags() if not key.startswith(_OF_ONE_RUN)}
        """Saved objects that are not in the bucket again yet."""

    def save(self, prefix: str = "") -> int:
        """Bring the folder up to date with the bucket's objects under a prefix; how many of those it then holds.

        Objects that still wait to be restored are kept, although the bucket does not have them.
        A gallery's manifests sort before its rows ("_versions/" before "data/"), so whatever manifest a listing shows,
        the rows that it names are in the same listing or were written before it.
        """
        with self._lock:
            self._objects.mkdir(parents=True, exist_ok=True)
            saved, current = self._etags(), dict(self._listing(prefix))
            changed = [key for key, etag in current.items() if saved.get(key) != etag]
            with ThreadPoolExecutor(_THREADS) as threads:
                gone = {
                    key for key, found in zip(changed, threads.map(self._download, changed), strict=True) if not found
                }
            kept = {key: etag for key, etag in saved.items() if key in self._awaited or not key.startswith(prefix)}
            for key in saved.keys() - current.keys() - kept.keys():
                self._file(key).unlink(missing_ok=True)
            self._write_index(kept | {key: etag for key, etag in current.items() if key not in gone})
            return len(current) - len(gone)

    def restore(self, *, gallery: bool) -> int:
        """Put saved objects back that are not there again yet: those of the galleries, or the others; how many."""
        keys = [key for key in self._awaited if key.startswith(GALLERY) == gallery]
        with ThreadPoolExecutor(_THREADS) as threads:
            restored = sum(threads.map(self._upload, keys))
        self._awaited -= set(keys)
        return restored

    def _listing(self, prefix: str) -> Iterator[tuple[str, str]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                if not entry["Key"].startswith(_OF_ONE_RUN):
                    yield entry["Key"], entry["ETag"]

    def _download(self, key: str) -> bool:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return False
        partial = self._file(key).with_suffix(".partial")
        partial.write_bytes(answer["Body"].read())
        partial.replace(self._file(key))
        return True

    def _upload(self, key: str) -> bool:
        file = self._file(key)
        if not file.exists():
            return False
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=file.read_bytes())
        return True

    def _file(self, key: str) -> Path:
        return self._objects / (quote(key, safe="") + ".object")

    def _etags(self) -> dict[str, str]:
        if not self._index.exists():
            return {}
        etags: dict[str, str] = json.loads(self._index.read_text())
        return etags

    def _write_index(self, etags: dict[str, str]) -> None:
        partial = self._index.with_suffix(".partial")
        partial.write_text(json.dumps(etags))
        partial.replace(self._index)
