"""Keeps the bucket's objects in a folder, since LocalStack forgets everything when it stops."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_THREADS = 8
GALLERY = "gallery/"
_ERASURES = "erasures/"
_ERASING = "erasures/open/"
"""What is being erased: one object for each erasure, from before its first deletion until after its last."""
_OF_ONE_RUN = ("fleet/leader.json", "fleet/retention.json", "fleet/reports/")  # who leads and works: old news
_DAYS = {"batches/": 30, "unknown/": 30, "webhooks/": 30, "idempotency/": 1}
"""What expires in the cloud (terraform/storage.tf) and not by the service's own doing."""
_DAY_SECONDS = 24 * 3600
_SUFFIX = ".object"


class Mirror:
    """A folder with a file for each object. Thread-safe.

    File names are the quoted keys, so that no key can lead out of the folder. `etags.json` tells which objects have
    not changed since they were saved.

    Whoever was erased stays erased, whenever this process dies: what is being erased is noted as soon as it is seen
    (`note_erasures`), and the note goes only with a later `save`, when nothing of the erased is in the folder any
    more. A run that finds a note brings it back with the rest, and the service erases again.
    """

    def __init__(self, s3: "S3Client", bucket: str, folder: Path) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._index = folder / "etags.json"
        self._objects = folder / "objects"
        self._notes = folder / "erasing"
        self._lock = threading.Lock()
        self._awaited = set(self._etags())
        """Saved objects that are not in the bucket again yet."""

    def save(self, prefix: str = "") -> int:
        """Bring the folder up to date with the bucket's objects under a prefix; how many of those it then holds.

        Objects that still wait to be restored are kept, although the bucket does not have them.
        A gallery's manifests sort before its rows ("_versions/" before "data/"), so whatever manifest a listing shows,
        the rows that it names are in the same listing or were written before it.
        """
        with self._lock:
            self._objects.mkdir(parents=True, exist_ok=True)
            under_way = dict(self._listing(_ERASING))
            saved, current = self._etags(), dict(self._lasting(prefix))
            changed = [key for key, etag in current.items() if saved.get(key) != etag]
            with ThreadPoolExecutor(_THREADS) as threads:
                gone = {
                    key for key, found in zip(changed, threads.map(self._download, changed), strict=True) if not found
                }
            kept = {key: etag for key, etag in saved.items() if key in self._awaited or not key.startswith(prefix)}
            for key in saved.keys() - current.keys() - kept.keys():
                self._file(key).unlink(missing_ok=True)
            self._write_index(kept | {key: etag for key, etag in current.items() if key not in gone})
            if not prefix and not self._awaited:
                self._forget_notes(under_way)
            return len(current) - len(gone)

    def note_erasures(self) -> bool:
        """Note what is being erased now; whether an erasure has ended of which the folder may still hold something."""
        found = dict(self._listing(_ERASURES))
        under_way = {key for key in found if key.startswith(_ERASING)}
        for key in under_way - self._noted().keys():
            self._notes.mkdir(parents=True, exist_ok=True)
            self._download_to(key, self._notes / _name(key))
        return bool(self._noted().keys() - under_way or found.keys() - under_way - self._etags().keys())

    def restore(self) -> int:
        """Put saved objects back that are not there again yet, but what is too old; how many."""
        with ThreadPoolExecutor(_THREADS) as threads:
            restored = sum(threads.map(self._upload, self._awaited))
        for key, note in self._noted().items():
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=_from_its_beginning(note.read_bytes()))
        self._awaited = set()
        return restored

    def _lasting(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Keys and tags of the objects that the next run is to find."""
        return (entry for entry in self._listing(prefix) if not entry[0].startswith((*_OF_ONE_RUN, _ERASING)))

    def _listing(self, prefix: str) -> Iterator[tuple[str, str]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["ETag"]

    def _download(self, key: str) -> bool:
        return self._download_to(key, self._file(key))

    def _download_to(self, key: str, file: Path) -> bool:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return False
        partial = file.with_suffix(".partial")
        partial.write_bytes(answer["Body"].read())
        partial.replace(file)
        return True

    def _upload(self, key: str) -> bool:
        file = self._file(key)
        days = next((days for prefix, days in _DAYS.items() if key.startswith(prefix)), None)
        if not file.exists() or (days is not None and file.stat().st_mtime < time.time() - days * _DAY_SECONDS):
            return False
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=file.read_bytes())
        return True

    def _noted(self) -> dict[str, Path]:
        """Keys of the erasures that are noted, with their files."""
        return {unquote(file.name.removesuffix(_SUFFIX)): file for file in self._notes.glob(f"*{_SUFFIX}")}

    def _forget_notes(self, under_way: Mapping[str, str]) -> None:
        """Forget the notes of erasures that were not under way any more when a save began."""
        for key, note in self._noted().items():
            if key not in under_way:
                note.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._objects / _name(key)

    def _etags(self) -> dict[str, str]:
        if not self._index.exists():
            return {}
        etags: dict[str, str] = json.loads(self._index.read_text())
        return etags

    def _write_index(self, etags: dict[str, str]) -> None:
        partial = self._index.with_suffix(".partial")
        partial.write_text(json.dumps(etags))
        partial.replace(self._index)


def _from_its_beginning(erasure: bytes) -> bytes:
    """An erasure that was under way as one that has not looked at anything yet, and that nobody works on."""
    return json.dumps({**json.loads(erasure), "looks": 0, "step": 0, "holder": ""}).encode()


def _name(key: str) -> str:
    return quote(key, safe="") + _SUFFIX
