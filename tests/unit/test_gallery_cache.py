import threading

import pytest

from face_app.gallery_cache import GalleryCache
from face_app.metrics import WorkerMetrics
from face_common.errors import TransientError
from face_common.templates import GallerySnapshot
from tests.fakes.cloud import MemoryGallery
from tests.unit.test_matching import encoding, template


def cache_of(gallery: MemoryGallery) -> GalleryCache:
    return GalleryCache(gallery, "model", WorkerMetrics())


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
    cache = GalleryCache(gallery, "model", metrics)
    for number in range(200):
        cache.at_least(f"c-{number}", 0)
    gallery.loads = 0
    cache.at_least("c-199", 0)
    assert gallery.loads == 0
    cache.at_least("c-0", 0)
    assert gallery.loads == 1
    assert len(next(iter(metrics.gallery_version.collect())).samples) == 64
