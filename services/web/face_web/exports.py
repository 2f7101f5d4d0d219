"""Everything that is kept on one person, as a zip: for the person, who has a right to see it."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import chain, islice
from typing import Any, BinaryIO, Protocol

from face_common.contract import Code, image_key, other_image_key, photo_key
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket
from face_common.templates import Template
from face_web.photos import content_type
from face_web.records import PersonRecord, Records, iso
from face_web.traces import Alias, Names, asked_at, documents

_RESULTS = "results/"


class ExportGallery(Protocol):
    """Where templates are read."""

    def templates(self, collection: str, person: str | None = None) -> Iterator[Template]:
        """Everything enrolled, of one person or of all."""


class Exports:
    """Writes exports. Thread-safe."""

    def __init__(self, *, store: Bucket, gallery: ExportGallery, records: Records) -> None:
        self._store = store
        self._gallery = gallery
        self._records = records

    def write(self, collection: str, person: str, file: BinaryIO) -> None:
        """Write the zip: person.json, enrolled photos, answers that name the person and the photos they are about.

        ServiceError (not-found) when nothing is known of the person, and nothing is written then.
        """
        templates = list(self._gallery.templates(collection, person))
        record = self._records.find(collection, person)
        results = self._results(collection, record or PersonRecord(person))
        first = list(islice(results, 0 if templates or record else 1))  # undoing leaves answers alone
        if not (templates or record or first):
            raise ServiceError(Code.NOT_FOUND, f"nobody called {person} is enrolled in {collection}")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            shown = _shown(collection, record or PersonRecord(person), templates)
            archive.writestr("person.json", json.dumps(shown, indent=1, ensure_ascii=False))
            for photo in sorted({template.photo for template in templates}):
                self._add(archive, "photos", photo, photo_key(photo))
            for result in chain(first, results):
                archive.writestr(f"results/{result['id']}.json", json.dumps(result, indent=1, ensure_ascii=False))
                self._add(archive, "probes", result["id"], image_key(result["id"]))
                self._add(archive, "probes", f"{result['id']}-other", other_image_key(result["id"]))

    def _results(self, collection: str, record: PersonRecord) -> Iterator[dict[str, Any]]:
        names = Names([Alias(record.person), *record.former_names])
        for batch in documents(self._store, _RESULTS):
            for _, result in batch:
                if (
                    isinstance(result, dict)
                    and result.get("collection") == collection
                    and names.occur(result, asked_at(str(result.get("id", ""))))
                ):
                    yield result

    def _add(self, archive: zipfile.ZipFile, folder: str, name: str, key: str) -> None:
        """Add a photo, if it is still kept."""
        with suppress(ObjectMissingError):
            body = self._store.get(key)
            archive.writestr(f"{folder}/{name}.{content_type(body).rpartition('/')[2]}", body, zipfile.ZIP_STORED)


def _shown(collection: str, record: PersonRecord, templates: list[Template]) -> dict[str, Any]:
    """What person.json says."""
    return {
        "person": record.person,
        "collection": collection,
        "consent": record.consent,
        "expires_at": None if record.expires_at is None else iso(record.expires_at),
        "former_names": [
            {"name": alias.name, "until": None if alias.until is None else iso(alias.until)}
            for alias in record.former_names
        ],
        "templates": [
            {**asdict(template), "enrolled_at": iso(template.enrolled_at), "encoding": list(template.encoding)}
            for template in templates
        ],
    }
