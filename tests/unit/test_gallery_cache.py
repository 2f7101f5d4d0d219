import threading
from dataclasses import dataclass

import pytest

from face_app.gallery_cache import GalleryCache
from face_app.metrics import WorkerMetrics
from face_common.contract import Code
from face_common.errors import TransientError
from face_common.templates import GallerySnapshot
from tests.fakes.cloud import MemoryGallery
from tests.unit.test_matching import encoding, template


@dataclass(frozen=True, slots=True)
class Named:
    """What these tests make of a snapshot: its people's names."""

    version: int
    people: tuple[str, ...]


def named(snapshot: GallerySnapshot) -> Named:
    return Named(snapshot.version, tuple(snapshot.people))


def cache_of(gallery: MemoryGallery) -> GalleryCache[Named]:
    return GalleryCache(gallery, "model", WorkerMetrics(), named)


def test_a_job_never_sees_an_older_gallery_than_it_asks_for() -> None:
    gallery = MemoryGallery()
    cache = cache_of(gallery)
    assert cache.at_least("c", 0).people == ()
    version = gallery.add("c", [template("a", "1", encoding(0))])
    assert cache.at_least("c", version).people == ("a",)


def test_a_version_that_the_store_does_not_have_yet_is_worth_another_try() -> None:
    with pytest.raises(TransientError, match="version 0, the job asks for 4"):
        cache_of(MemoryGallery()).at_least("c", 4)


def test_what_is_new_enough_is_not_loaded_again() -> None:
    gallery = MemoryGallery()
    cache = cache_of(gallery)
    version = gallery.add("c", [template("a", "1", encoding(0))])
    for _ in range(3):
        cache.at_least("c", version)
    assert gallery.loads == 1


def test_refresh_loads_what_has_changed_and_nothing_else() -> None:
    gallery = MemoryGallery()
    cache = cache_of(gallery)
    cache.at_least("c", 0)
    cache.refresh()
    assert gallery.loads == 1
    gallery.add("c", [template("a", "1", encoding(0))])
    cache.refresh()
    assert cache.at_least("c", 0).people == ("a",)
    assert gallery.loads == 2


class BrokenGallery(MemoryGallery):
    broken = False

    def load(self, collection: str, model: str) -> GallerySnapshot:
        if self.broken:
            raise TransientError(Code.STORAGE_UNAVAILABLE, "broken")
        return super().load(collection, model)


def test_what_cannot_be_refreshed_stays_as_it_is() -> None:
    gallery = BrokenGallery()
    version = gallery.add("c", [template("a", "1", encoding(0))])
    cache = cache_of(gallery)
    before = cache.at_least("c", version)
    gallery.add("c", [template("b", "2", encoding(1))])
    gallery.broken = True
    cache.refresh()
    assert cache.at_least("c", version) is before
    with pytest.raises(TransientError, match="broken"):
        cache.at_least("c", version + 1)


def test_a_snapshot_is_prepared_once() -> None:
    gallery = MemoryGallery()
    version = gallery.add("c", [template("a", "1", encoding(0))])
    prepared: list[GallerySnapshot] = []

    def prepare(snapshot: GallerySnapshot) -> Named:
        prepared.append(snapshot)
        return named(snapshot)

    cache = GalleryCache(gallery, "model", WorkerMetrics(), prepare)
    assert cache.at_least("c", version) is cache.at_least("c", version)
    assert len(prepared) == 1


class SlowGallery(MemoryGallery):
    def load(self, collection: str, model: str) -> GallerySnapshot:
        threading.Event().wait(0.1)
        return super().load(collection, model)


def test_jobs_that_wait_for_the_same_gallery_load_it_once() -> None:
    gallery = SlowGallery()
    version = gallery.add("c", [template("a", "1", encoding(0))])
    cache = cache_of(gallery)
    threads = [threading.Thread(target=cache.at_least, args=("c", version)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gallery.loads == 1


def test_only_so_many_collections_are_kept() -> None:
    gallery = MemoryGallery()
    metrics = WorkerMetrics()
    cache = GalleryCache(gallery, "model", metrics, named)
    for number in range(200):
        cache.at_least(f"c-{number}", 0)
    gallery.loads = 0
    cache.at_least("c-199", 0)
    assert gallery.loads == 0
    cache.at_least("c-0", 0)
    assert gallery.loads == 1
    assert len(next(iter(metrics.gallery_version.collect())).samples) == 64
