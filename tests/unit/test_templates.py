"""How a gallery lies in memory."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from face_app.matching import GalleryIndex
from face_app.metric import Metric
from face_common.templates import (
    DIMENSIONS,
    Encodings,
    GallerySnapshot,
    Indices,
    Strings,
    Template,
    TemplateColumns,
    parsed_digests,
)
from tests.fakes.inference import encoding
from tests.unit.test_matching import digest, template

NAMES = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=20)
OWNED = st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 60)), max_size=150)
"""Person and photo of each template; photos may be written twice."""


def templates_of(written: list[tuple[str, int]]) -> list[Template]:
    random = np.random.default_rng(len(written))
    values = random.normal(size=(len(written), DIMENSIONS)).astype(np.float32).tolist()
    return [template(person, str(photo), tuple(row)) for (person, photo), row in zip(written, values, strict=True)]


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(0, 99))
def test_strings_are_what_went_in(names: list[str], seed: int) -> None:
    column = Strings.of(names)
    assert list(column) == names
    order = np.random.default_rng(seed).permutation(len(names))
    assert list(column.take(order)) == [names[index] for index in order]
    assert [bytes(row) for row in column.fixed(5)] == [name.encode()[:5].ljust(5, b"\0") for name in names]


def test_many_strings_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_common.templates._NAMES", 3)
    names = [f"{'x' * (number % 4)}{number}" for number in range(20)]
    assert list(Strings.of(names).take(np.arange(19, -1, -1))) == names[::-1]


@settings(deadline=None)
@given(names=st.lists(st.text(st.characters(codec="utf-8"), max_size=3), unique=True, max_size=20))
def test_sorted_strings_are_found(names: list[str]) -> None:
    column = Strings.of(sorted(names))
    assert [column.index(name, 0, len(column)) for name in sorted(names)] == list(range(len(names)))
    assert column.index("longer than any", 0, len(column)) is None


@settings(deadline=None)
@given(written=OWNED)
def test_every_template_is_found_where_it_was_laid(written: list[tuple[str, int]]) -> None:
    templates = templates_of(written)
    snapshot = GallerySnapshot.of(7, templates)
    last = {row.photo: row for row in templates}  # a photo written twice counts once, as last written
    assert snapshot.version == 7
    assert sorted(snapshot.people) == sorted({row.person for row in last.values()})
    assert len(snapshot.units) == len(last)
    for row in last.values():
        place = snapshot.place_of(row.person)
        assert place is not None
        assert snapshot.people[place] == row.person
        rows = snapshot.rows_of(place)
        (here,) = rows[snapshot.photos[rows] == row.photo.encode()]
        assert_allclose(snapshot.units[here] * snapshot.lengths[here], row.encoding, rtol=1e-5)
        assert snapshot.photo_with(row.person, row.digest) == row.photo
    assert snapshot.place_of("nobody") is None


@settings(deadline=None)
@given(written=OWNED, first=st.integers(0, 6), count=st.integers(1, 7))
def test_sums_are_those_of_each_persons_rows(written: list[tuple[str, int]], first: int, count: int) -> None:
    snapshot = GallerySnapshot.of(1, templates_of(written))
    people = range(len(snapshot.people))[first : first + count]
    sums = snapshot.summed(snapshot.units, people.start, people.stop)
    expected = [snapshot.units[snapshot.rows_of(place)].sum(axis=0) for place in people]
    assert_allclose(sums, np.array(expected).reshape(-1, DIMENSIONS), atol=1e-5)


@settings(deadline=None)
@given(written=OWNED)
def test_every_row_belongs_to_one_person(written: list[tuple[str, int]]) -> None:
    snapshot = GallerySnapshot.of(1, templates_of(written))
    owners = snapshot.places_of(np.arange(len(snapshot.units)))
    for place in range(len(snapshot.people)):
        assert_array_equal(np.flatnonzero(owners == place), snapshot.rows_of(place))


def test_people_with_more_templates_than_layers_are_laid_out_too() -> None:
    counts = {"a": 1, "b": 33, "c": 32, "d": 100, "e": 2}
    rows = [(person, f"{person}-{number}") for person, count in counts.items() for number in range(count)]
    snapshot = GallerySnapshot.of(
        1, [template(person, photo, encoding(number / 200)) for number, (person, photo) in enumerate(rows)]
    )
    assert list(snapshot.people) == ["b", "d", "c", "e", "a"]
    assert [len(snapshot.rows_of(place)) for place in range(5)] == [33, 100, 32, 2, 1]
    owners = snapshot.places_of(np.arange(len(rows)))
    for place in range(5):
        own = snapshot.rows_of(place)
        assert_array_equal(np.flatnonzero(owners == place), np.sort(own))
        assert [photo.decode().split("-")[0] for photo in snapshot.photos[own].tolist()] == [
            snapshot.people[place]
        ] * len(own)
        for first in range(place + 1):
            sums = snapshot.summed(snapshot.units, first, place + 1)
            assert_allclose(sums[-1], snapshot.units[own].sum(axis=0), rtol=1e-5)


def test_a_photo_written_twice_counts_once() -> None:
    snapshot = GallerySnapshot.of(1, [template("a", "1", encoding(0)), template("a", "1", encoding(0))])
    assert snapshot.units.shape == (1, DIMENSIONS)
    assert snapshot.photo_with("a", digest("1")) == "1"
    assert snapshot.photo_with("b", digest("1")) is None
    assert snapshot.photo_with("a", digest("2")) is None


@pytest.mark.parametrize("text", ["", "ff", "g" * 64, "F" * 64, "0" * 65, "é" * 32])
def test_what_is_no_digest_matches_nothing(text: str) -> None:
    assert not parsed_digests(Strings.of([text])).any()
    row = Template("a", "1", "1.jpg", text, "model", encoding(0), 0.0)
    assert GallerySnapshot.of(1, [row]).photo_with("a", text) is None


def blocks(encodings: Encodings) -> Iterator[tuple[Indices, Encodings]]:
    for first in range(0, len(encodings), 1000):
        yield np.arange(first, min(first + 1000, len(encodings))), encodings[first : first + 1000]


@pytest.mark.parametrize("each", [1, 3, 10])
def test_a_gallery_takes_little_more_memory_than_its_encodings(each: int) -> None:
    count = 50_000
    random = np.random.default_rng(each)
    encodings = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    tracemalloc.start()
    try:
        columns = TemplateColumns(
            people=Strings.of(f"A person's name {number:07}" for number in range(-(-count // each))),
            owners=(np.arange(count) // each).astype(np.int32),
            photos=np.char.add("01M86879HHB3BR6BKJ", np.char.zfill(np.arange(count).astype(str), 8)).astype("S26"),
            digests=random.integers(0, 256, size=(count, 32), dtype=np.uint8),
        )
        tracemalloc.reset_peak()
        index = GalleryIndex.of(GallerySnapshot.laid_out(1, columns, blocks(encodings)), Metric.plain())
        del columns
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index.snapshot.units) == count
    assert held < 1.3 * encodings.nbytes
    assert most < 1.6 * encodings.nbytes  # nowhere two copies
