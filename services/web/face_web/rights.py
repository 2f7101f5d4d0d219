"""Puts together what serves people's rights: consent, erasure, retention, export."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from face_common.ports import Bucket
from face_web.audit import Audit
from face_web.erasure import Erasures
from face_web.exports import ExportGallery, Exports
from face_web.forgetting import Forgetting, ForgettingGallery
from face_web.people import People, PersonGallery
from face_web.records import Records
from face_web.retention import Keeping, Retention, RetentionGallery
from face_web.scaler.lease import Lease
from face_web.settings import WebSettings
from face_web.versions import GalleryVersions

_LEASE = "fleet/retention.json"
_LEASE_SECONDS = 300.0
_SWEEP_SECONDS = 3600.0


class RightsGallery(PersonGallery, ForgettingGallery, ExportGallery, RetentionGallery, Protocol):
    """All that is asked of the gallery."""


@dataclass(frozen=True, slots=True)
class Rights:
    """The parts."""

    records: Records
    people: People
    erasures: Erasures
    exports: Exports
    retention: Retention


@dataclass(frozen=True, slots=True)
class _Shared:
    """What several parts work with; `now` is the wall clock, `clock` a monotonic one, both in seconds."""

    store: Bucket
    gallery: RightsGallery
    versions: GalleryVersions
    audit: Audit
    records: Records
    holder: str
    new_id: Callable[[], str]
    now: Callable[[], float]
    clock: Callable[[], float]


def build(
    settings: WebSettings,
    *,
    store: Bucket,
    gallery: RightsGallery,
    versions: GalleryVersions,
    audit: Audit,
    new_id: Callable[[], str],
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> Rights:
    """The parts of one web host."""
    records = Records(store, consent_required=settings.consent_required, now=now)
    shared = _Shared(store, gallery, versions, audit, records, new_id(), new_id, now, clock)
    erasures = _erasures(settings, shared)
    return Rights(
        records=records,
        people=People(gallery=gallery, store=store, versions=versions, records=records),
        erasures=erasures,
        exports=Exports(store=store, gallery=gallery, records=records),
        retention=_retention(settings, shared, erasures),
    )


def _erasures(settings: WebSettings, shared: _Shared) -> Erasures:
    removal = Forgetting(
        store=shared.store,
        gallery=shared.gallery,
        records=shared.records,
        versions=shared.versions,
        inbox=settings.import_prefix,
    )
    return Erasures(
        store=shared.store,
        removal=removal,
        records=shared.records,
        audit=shared.audit,
        holder=shared.holder,
        settle_seconds=settings.erasure_settle_seconds,
        new_id=shared.new_id,
        now=shared.now,
        clock=shared.clock,
    )


def _retention(settings: WebSettings, shared: _Shared, erasures: Erasures) -> Retention:
    return Retention(
        store=shared.store,
        gallery=shared.gallery,
        records=shared.records,
        erasures=erasures,
        audit=shared.audit,
        hold=Lease(shared.store, shared.holder, _LEASE_SECONDS, shared.clock, key=_LEASE),
        keeping=Keeping(
            probes=settings.keep_probes_days,
            results=settings.keep_results_days,
            unknown=settings.keep_unknown_days,
            photos=settings.keep_photos_days,
        ),
        every_seconds=_SWEEP_SECONDS,
        now=shared.now,
        clock=shared.clock,
    )
