"""Which earlier versions of a collection are whole, and how none is left. Needs Lance itself, which workers do without.

A version is a manifest, a list of files. Manifests are left lying for an hour: a writer that has looked up the latest
version takes the next free number, and would take one that was removed meanwhile for free, to be overlooked from then
on. They hold nothing about anybody; the files that they list do, and go at once.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import lance
import lance.file

from face_common.contract import Code
from face_common.errors import TransientError
from face_common.gallery_rows import attempt
from face_common.templates import GalleryVersion, PurgeReport

_ATTEMPTS = 8  # while others keep removing or compacting
_LONGEST_WRITE = timedelta(hours=1)  # from a write's first look at the table to its commit; minutes with all retries
_OF_ROWS = ("data/", "_deletions/")  # folders
_OF_WRITES = (*_OF_ROWS, "_transactions/")
_DELETIONS = 8  # at the same time


def whole_versions(uri: str, storage_options: dict[str, str] | None) -> list[GalleryVersion]:
    """The versions whose files are all there, the present one first."""
    table = _open(uri, storage_options)
    tracked = _tracked(table)
    found = {row["path"] for row in _found(table)}
    broken = {row["version"] for row in tracked if row["path"].startswith(_OF_ROWS) and row["path"] not in found}
    return [
        GalleryVersion(int(row["version"]), row["timestamp"].timestamp(), int(row["metadata"]["total_rows"]))
        for row in reversed(attempt(table.versions))
        if row["version"] not in broken
    ]


def purge(uri: str, storage_options: dict[str, str] | None) -> PurgeReport:
    """Rewrite what holds removed rows, and remove the files that only earlier versions need.

    What writes have left that never came to an end goes once it is an hour old; `pending` counts the younger ones.
    """
    before = {kept.version for kept in whole_versions(uri, storage_options)}
    for _ in range(_ATTEMPTS):
        table = _open(uri, storage_options)
        try:
            table.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
        except (RuntimeError, OSError):  # others compacted or removed meanwhile
            continue
        table.checkout_latest()
        if all(fragment.num_deletions == 0 for fragment in table.get_fragments()):
            files, pending = _remove(table, storage_options)
            attempt(partial(table.cleanup_old_versions, older_than=_LONGEST_WRITE))
            after = {kept.version for kept in whole_versions(uri, storage_options)}
            return PurgeReport(len(before - after), files, pending)
    raise TransientError(Code.STORAGE_UNAVAILABLE, "others keep changing the gallery; its history is not purged yet")


def _remove(table: Any, storage_options: dict[str, str] | None) -> tuple[int, int]:
    """Remove the rows of earlier versions, and old files of no version; how many files, and how many were too young."""
    present = int(table.version)
    found = _found(table)
    table.checkout_latest()  # after the listing: what was committed meanwhile is known
    tracked = _tracked(table)
    kept = {row["path"] for row in tracked if row["version"] >= present}
    known = {row["path"] for row in tracked}
    past = [row["path"] for row in found if row["path"].startswith(_OF_ROWS) and row["path"] in known - kept]
    unknown = [row for row in found if row["path"].startswith(_OF_WRITES) and row["path"] not in known]
    limit = time.time() - _LONGEST_WRITE.total_seconds()
    abandoned = [row["path"] for row in unknown if row["last_modified"].timestamp() < limit]
    _delete(table.uri, storage_options, [*past, *abandoned])
    return len(past) + len(abandoned), len(unknown) - len(abandoned)


def _delete(uri: str, storage_options: dict[str, str] | None, paths: Iterable[str]) -> None:
    session = lance.file.LanceFileSession(uri, storage_options=storage_options)
    with ThreadPoolExecutor(_DELETIONS, thread_name_prefix="purge") as threads:
        list(threads.map(lambda path: attempt(partial(session.delete_file, path)), paths))


def _found(table: Any) -> list[dict[str, Any]]:
    """Every file under the table's folder: path, size_bytes and last_modified."""
    rows: list[dict[str, Any]] = attempt(lambda: table.all_files().read_all()).to_pylist()
    return rows


def _tracked(table: Any) -> list[dict[str, Any]]:
    """Every file that a version lists: version, path and type."""
    rows: list[dict[str, Any]] = attempt(lambda: table.tracked_files().read_all()).to_pylist()
    return rows


def _open(uri: str, storage_options: dict[str, str] | None) -> Any:
    return attempt(partial(lance.dataset, uri, storage_options=storage_options))
