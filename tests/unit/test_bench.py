"""The arithmetic behind `make bench`, and what it reads. Nothing here is timed."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench import answers, identification, scoring, verification
from bench.__main__ import astray, chosen, main
from bench.document import filled, markdown
from bench.engines import FoundFaces
from bench.folders import InputError, pairs
from bench.identification import Found, GalleryPlan
from bench.inputs import Inputs
from bench.measures import (
    OpenSet,
    PairDistances,
    best_threshold,
    identified_at,
    joined,
    open_set,
    threshold_below,
)
from bench.pictures import collage
from bench.pipeline import largest_difference, turns
from bench.scoring import LibraryRule, Line, WorkerRule
from bench.tables import by_table, text_cells
from face_app.recognition import Rectangle
from tests.pictures import picture

INF = float("inf")


def compared(distances: list[float], same: list[int], folds: list[int] | None = None) -> PairDistances:
    return PairDistances(np.array(distances), np.array(same, dtype=bool), np.array(folds or [0] * len(same)))


class TestPairs:
    def test_rates_count_what_is_accepted_of_either_kind(self) -> None:
        found = compared([0.1, 0.4, 0.7, 0.3, 0.5, 0.8, 0.9], [1, 1, 1, 0, 0, 0, 0])
        assert found.rates(0.4) == (0.25, pytest.approx(2 / 3))
        assert found.rates(0.39) == (0.25, pytest.approx(1 / 3))

    def test_a_photo_without_a_face_is_rejected_whatever_the_threshold(self) -> None:
        found = compared([0.1, INF, INF, 0.9], [1, 1, 0, 0])
        assert found.rates(1e9) == (0.5, 0.5)
        assert found.true_matches_at(1.0) == 0.5

    def test_true_matches_at_a_rate_use_the_largest_threshold_that_keeps_it(self) -> None:
        found = compared([0.1, 0.2, 0.35, 0.6, 0.3, 0.4, 0.5, 0.7], [1, 1, 1, 1, 0, 0, 0, 0])
        assert found.true_matches_at(0.0) == 0.5
        assert found.true_matches_at(0.24) == 0.5
        assert found.true_matches_at(0.25) == 0.75
        assert found.true_matches_at(1.0) == 1.0

    def test_roc_has_a_point_for_every_threshold(self) -> None:
        fmr, tmr = compared([0.1, 0.3, 0.3, 0.5, INF], [1, 1, 0, 0, 1]).roc()
        assert fmr.tolist() == [0.0, 0.5, 1.0]
        assert tmr == pytest.approx([1 / 3, 2 / 3, 2 / 3])

    def test_the_best_threshold_is_the_middle_of_the_widest_best_range(self) -> None:
        assert best_threshold(np.array([0.1, 0.2, 0.6, 0.7]), np.array([True, True, False, False])) == pytest.approx(
            0.4
        )
        # 0.1 to 0.2 and 0.3 to 0.6 are equally good.
        distances, same = np.array([0.1, 0.2, 0.3, 0.6]), np.array([True, False, True, False])
        assert best_threshold(distances, same) == pytest.approx(0.45)

    def test_each_fold_is_judged_at_the_threshold_of_the_others(self) -> None:
        # The others' best threshold for fold 1 is 0.3, for fold 0 it is 0.55.
        found = compared([0.1, 0.5, 0.5, 0.6], [1, 0, 1, 0], [0, 0, 1, 1])
        assert found.accuracies() == [0.5, 0.5]

    def test_an_easy_list_is_all_right_in_every_fold(self) -> None:
        same = [1, 0] * 10
        found = compared([0.1 if one else 0.9 for one in same], same, [number // 2 for number in range(20)])
        assert found.accuracies() == [1.0] * 10

    def test_rows_tell_missing_faces_and_right_answers_at_the_line(self, tmp_path: Path) -> None:
        encoded = {(tmp_path / name, True): encoding(value) for name, value in (("a", 0.0), ("b", 0.1), ("c", 5.0))}
        encoded[tmp_path / "d", True] = None
        listed = [
            verification.Pair(tmp_path / one, tmp_path / other, same, 0)
            for one, other, same in (("a", "b", True), ("a", "d", True), ("a", "c", False), ("c", "d", False))
        ]
        (row,) = verification.rows(listed, {"face_recognition": encoded}, {"face_recognition": LibraryRule()})
        assert row["table"] == "Pairs as listed (2 same, 2 different); a photo without a face makes a rejected pair"
        assert (row["FMR %"], row["TMR %"], row["right %"]) == (0.0, 50.0, 75.0)
        assert (row["photos"], row["without a face"]) == (4, 1)

    def test_every_pair_of_the_listed_photos_is_told_apart_by_folder(self, tmp_path: Path) -> None:
        photos = [tmp_path / "ann" / "1", tmp_path / "ann" / "2", tmp_path / "ben" / "1"]
        encoded = {(photo, True): encoding(value) for photo, value in zip(photos, (0.0, 0.3, 1.0), strict=True)}
        listed = [verification.Pair(photos[0], photos[1], True, 0), verification.Pair(photos[0], photos[2], False, 0)]
        found = verification.every_pair(listed, {"face_recognition": encoded}, {"face_recognition": LibraryRule()})
        assert found["face_recognition"].distances == pytest.approx([0.3, 1.0, 0.7])
        assert found["face_recognition"].same.tolist() == [True, False, False]


def encoding(value: float) -> np.ndarray:
    """128 numbers, at distance |a - b| of those for another value."""
    return np.array([value, *[0.0] * 127], dtype=np.float32)


class TestOpenSet:
    found = open_set(
        np.array([[0.1, 0.9], [0.4, 0.3], [0.2, 0.21], [INF, INF]]),
        np.array([0, 0, 0, 1]),
        np.array([[0.35, 0.6], [INF, INF], [0.8, 0.7], [0.5, 0.95]]),
    )

    def test_the_nearest_person_is_named_up_to_the_threshold(self) -> None:
        assert self.found.at(0.05) == (0.0, 0.0, 0.0)
        assert self.found.at(0.3) == (0.5, 0.25, 0.0)
        assert self.found.at(0.5) == (0.5, 0.25, 0.5)

    def test_photos_without_a_face_are_never_named(self) -> None:
        assert self.found.at(1e9) == (0.5, 0.25, 0.75)

    def test_two_people_too_close_name_nobody(self) -> None:
        assert self.found.at(0.5, margin=0.05) == (0.25, 0.25, 0.5)
        assert self.found.at(0.5, margin=0.3) == (0.25, 0.0, 0.25)

    def test_a_single_person_has_no_second(self) -> None:
        alone = open_set(np.array([[0.2]]), np.array([0]), np.array([[0.9]]))
        assert alone.at(0.5, margin=1.0) == (1.0, 0.0, 0.0)

    def test_identified_at_a_share_of_strangers(self) -> None:
        assert threshold_below(self.found.strangers, 0.0) == 0.35
        assert identified_at(self.found, 0.0) == 0.5
        assert threshold_below(self.found.strangers, 0.25) == 0.5
        assert identified_at(self.found, 1.0) == 0.5

    def test_galleries_are_joined(self) -> None:
        other = OpenSet(np.array([0.1]), np.array([True]), np.array([1.0]), np.array([0.2]), np.array([1.0]))
        both = joined([self.found, other])
        assert both.at(0.3) == (pytest.approx(3 / 5), pytest.approx(1 / 5), pytest.approx(1 / 5))

    def test_a_row_is_the_mean_of_the_galleries_each_at_its_own_line(self) -> None:
        other = OpenSet(np.array([0.1]), np.array([True]), np.array([1.0]), np.array([0.2]), np.array([1.0]))
        lines = [[Line("1 %", 0.5, 0.0, 0.01)], [Line("1 %", 0.15, 0.0, 0.01)]]
        found = {"balanced": Found([self.found, other], lines, [(0.2, Path("x.jpg"), "ann")])}
        plans = [GalleryPlan({"ann": []}, [])] * 2
        first, *others = identification.rows(found, plans)
        assert first["identified %"] == pytest.approx(75.0)
        assert first["strangers named %"] == pytest.approx(25.0)
        assert first["threshold"] == pytest.approx(0.325)
        assert (first["promised %"], first["measured / promised"]) == (1.0, pytest.approx(25.0))
        assert others[-1]["stranger"] == "x"

    def test_galleries_are_the_same_each_time_and_probes_are_other_photos(self) -> None:
        everybody = {f"p{number}": [Path(f"p{number}/{one}") for one in range(2 + number % 4)] for number in range(40)}
        plans = identification.plan(everybody)
        assert plans == identification.plan(everybody)
        assert len(plans) == 5
        assert plans[0] != plans[1]
        for plan in plans:
            assert len(plan.enrolled) == 20
            assert {len(photos) for photos in plan.enrolled.values()} == {3}
            assert not {photo for photo, _ in plan.probes} & {one for some in plan.enrolled.values() for one in some}
            assert all(photo.parent.name == list(plan.enrolled)[place] for photo, place in plan.probes)
            assert len(plan.probes) == 10 * 1 + 10 * 2

    def test_too_few_photos_make_no_gallery(self) -> None:
        assert identification.plan({"ann": [Path("1")] * 9, "ben": [Path("1")] * 3}) == []

    def test_who_shows_a_face_in_no_photo_is_not_enrolled_and_the_others_keep_their_places(self) -> None:
        photos = {name: Path(name) for name in ("a", "b", "c")}
        encoded = {(photos["a"], True): None, (photos["b"], True): encoding(1), (photos["c"], True): encoding(2)}
        plan = GalleryPlan({"ann": [photos["a"]], "ben": [photos["b"], photos["a"]], "cem": [photos["c"]]}, [])
        gallery, places = identification.enrol(plan, encoded)
        assert {person: len(found) for person, found in gallery.items()} == {"ben": 1, "cem": 1}
        assert places == {1: 0, 2: 1}


class TestRules:
    def test_the_librarys_is_the_nearest_template_by_plain_distance(self) -> None:
        gallery = {"ann": np.array([encoding(0), encoding(1)]), "ben": np.array([encoding(3)])}
        rule = LibraryRule()
        assert rule.to_people(gallery, np.array([encoding(0.9), encoding(5)])) == pytest.approx(
            np.array([[0.1, 2.1], [4.0, 2.0]]), abs=1e-6
        )
        assert rule.lines(gallery) == [Line("its 0.6", 0.6, 0.0, None)]

    @pytest.mark.parametrize("engine", ["exact", "balanced", "quick"])
    def test_the_workers_own_rule_draws_wider_lines_for_higher_rates(self, engine: str) -> None:
        rule = scoring.rule(engine)
        assert isinstance(rule, WorkerRule)
        random = np.random.default_rng(0)
        people = random.normal(size=(30, 1, 128))
        encodings = (people + 0.3 * random.normal(size=(30, 4, 128))).astype(np.float32)
        gallery = {f"p{29 - number}": theirs[:3] for number, theirs in enumerate(encodings)}
        found = rule.to_people(gallery, encodings[:, 3])
        assert found.argmin(axis=1).tolist() == list(range(30))
        lines = rule.lines(gallery)
        assert [line.promised for line in lines] == sorted(line.promised or 0 for line in lines)
        assert [line.threshold for line in lines] == sorted(line.threshold for line in lines)
        assert rule.between(2 * encodings[0], encodings[0]) == pytest.approx(np.zeros(4), abs=1e-3)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    for person, names in (("Ann_Lee", ("0001.jpg", "0002.jpg")), ("Ben", ("Ben_0001.jpg", "Ben_0007.png"))):
        (folder / person).mkdir(parents=True)
        for name in names:
            (folder / person / name).touch()
    return folder


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


HEADER = "person_a,photo_a,person_b,photo_b,same\n"


class TestPairFiles:
    def test_csv(self, people: Path, tmp_path: Path) -> None:
        lines = "Ann_Lee,0001,Ann_Lee,0002,1\nAnn_Lee,0001.jpg,Ben,0007,0\n\nBen,1,Ben,Ben_0007,true\n"
        found = pairs(written(tmp_path, "pairs.csv", "\ufeff" + HEADER + lines), people)
        assert [(pair.first.name, pair.second.name, pair.same) for pair in found] == [
            ("0001.jpg", "0002.jpg", True),
            ("0001.jpg", "Ben_0007.png", False),
            ("Ben_0001.jpg", "Ben_0007.png", True),
        ]

    def test_folds_of_a_csv_have_both_kinds_in_order(self, people: Path, tmp_path: Path) -> None:
        lines = "Ann_Lee,1,Ann_Lee,2,1\n" * 20 + "Ann_Lee,1,Ben,1,0\n" * 40
        found = pairs(written(tmp_path, "pairs.csv", HEADER + lines), people)
        assert [pair.fold for pair in found[:20]] == [number // 2 for number in range(20)]
        assert [pair.fold for pair in found[20:]] == [number // 4 for number in range(40)]

    def test_classic_with_folds(self, people: Path, tmp_path: Path) -> None:
        fold = "Ann_Lee\t1\t2\nAnn_Lee\t1\tBen\t7\n"
        found = pairs(written(tmp_path, "pairs.txt", "3\t1\n" + fold * 3), people)
        assert [(pair.same, pair.fold) for pair in found] == [(one, fold) for fold in range(3) for one in (True, False)]
        assert found[1].second.name == "Ben_0007.png"

    def test_classic_without_folds_and_with_spaces(self, people: Path, tmp_path: Path) -> None:
        text = "2\nAnn_Lee 1 2\nBen 1 7\nAnn_Lee 1 Ben 1\nAnn_Lee 2 Ben 1\n"
        found = pairs(written(tmp_path, "pairs.txt", text), people)
        assert [pair.fold for pair in found] == [0, 5, 0, 5]

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "is empty"),
            ("a,b\n", "line 1: the columns are a,b, not person_a,photo_a,person_b,photo_b,same"),
            (HEADER, "lists no pairs"),
            (HEADER + "Ann_Lee,1,Ben,1\n", "line 2: 4 cells, not 5"),
            (HEADER + "Ann_Lee,1,Ben,1,yes\n", "line 2: same is 'yes', neither 1 nor 0"),
            (HEADER + "Ann_Lee,1,Ben,1,0\nAnn_Lee,9,Ben,1,0\n", "line 3: there is no photo '9' of 'Ann_Lee'"),
            (HEADER + "Ann_Lee,1,Nobody,1,0\n", "line 2: there is no photo '1' of 'Nobody'"),
            ("ten folds\n", "line 1: 'ten folds' is neither a CSV header nor `folds pairs`"),
            ("0 300\n", "line 1: '0 300' is neither"),
            ("1 2 3\n", "line 1: '1 2 3' is neither"),
            ("1 1\nAnn_Lee 1\n", "line 2: 2 words, not"),
            ("1 1\nAnn_Lee one 2\n", "line 2: there is no photo 'one' of 'Ann_Lee'"),
            ("1 1\nAnn_Lee 1 2\n", "line 1 announces 1 x 1 same and as many different pairs; it lists 1"),
        ],
    )
    def test_what_is_malformed_is_told_with_its_line(self, people: Path, tmp_path: Path, text: str, fault: str) -> None:
        file = written(tmp_path, "pairs.txt", text)
        with pytest.raises(InputError) as error:
            pairs(file, people)
        assert str(error.value).startswith(str(file))
        assert fault in str(error.value)

    def test_a_file_that_is_no_text(self, people: Path, tmp_path: Path) -> None:
        file = tmp_path / "pairs.txt"
        file.write_bytes(b"\xff\xfe\x00\x81")
        with pytest.raises(InputError, match="cannot be read"):
            pairs(file, people)


class TestInputs:
    def test_nothing_is_named(self) -> None:
        inputs = Inputs.of({"PEOPLE": "", "FACE_DATA": ""})
        assert (inputs.people, inputs.strangers, inputs.pairs, inputs.boxes) == ({}, [], [], None)
        assert [reason.split(":")[0] for reason in inputs.missing] == ["pairs", "open set", "detection"]

    def test_what_face_data_has(self, people: Path, tmp_path: Path) -> None:
        home = tmp_path / "shared"
        (home / "lfw-dev" / "strangers" / "Cem").mkdir(parents=True)
        (home / "lfw-dev" / "strangers" / "Cem" / "1.jpg").touch()
        (home / "detection-dev").mkdir()
        people.rename(home / "lfw-dev" / "people")
        written(home / "lfw-dev", "pairs.csv", HEADER + "Ann_Lee,1,Ann_Lee,2,1\n")
        inputs = Inputs.of({"FACE_DATA": str(home)})
        assert list(inputs.people) == ["Ann_Lee", "Ben"]
        assert (len(inputs.strangers), len(inputs.pairs), inputs.missing) == (1, 1, [])
        assert inputs.boxes == home / "detection-dev"

    def test_people_of_ones_own_are_not_mixed_with_the_shared_strangers(self, people: Path, tmp_path: Path) -> None:
        shared = tmp_path / "shared" / "lfw-dev" / "strangers"
        shared.mkdir(parents=True)
        (shared / "1.jpg").touch()
        (people / "Single").mkdir()
        (people / "Single" / "1.jpg").touch()
        inputs = Inputs.of({"FACE_DATA": str(tmp_path / "shared"), "PEOPLE": str(people)})
        assert inputs.strangers == [people / "Single" / "1.jpg"]

    @pytest.mark.parametrize(
        ("environment", "fault"),
        [
            ({"PEOPLE": "/nowhere"}, "PEOPLE=/nowhere: there is no such"),
            ({"FACE_DATA": "/nowhere"}, "FACE_DATA=/nowhere: there is no such"),
            ({"PAIRS": __file__}, "set PEOPLE to the folder"),
            ({"PEOPLE": str(Path(__file__).parent)}, "no folders with photos"),
        ],
    )
    def test_what_is_named_and_not_there_is_an_error(self, environment: dict[str, str], fault: str) -> None:
        with pytest.raises(InputError, match=fault):
            Inputs.of(environment)


class TestPipeline:
    def test_encodings_are_compared_face_by_face_whatever_their_order(self) -> None:
        left, right = Rectangle(0, 0, 9, 9), Rectangle(20, 0, 29, 9)
        ours = FoundFaces((right, left), np.array([encoding(2), encoding(1)]))
        theirs = FoundFaces((left, right), np.array([encoding(1.5), encoding(2)]))
        assert largest_difference(ours, theirs) == 0.5

    def test_other_faces_are_not_compared(self) -> None:
        one = FoundFaces((Rectangle(0, 0, 9, 9),), np.array([encoding(1)]))
        assert largest_difference(one, FoundFaces((), np.empty((0, 128), np.float32))) is None

    def test_turns_are_bounded_both_ways(self) -> None:
        assert list(turns(3, 9, seconds=0)) == [0, 1, 2]
        assert list(turns(1, 4, seconds=60)) == [0, 1, 2, 3]

    def test_a_collage_has_its_size_whatever_it_is_made_of(self, tmp_path: Path) -> None:
        files = []
        for number, body in enumerate((picture(), picture("PNG", (10, 900)))):
            files.append(tmp_path / f"{number}.jpg")
            files[-1].write_bytes(body)
        assert collage(files, 301, 100).size == (301, 100)


class TestReports:
    rows = ({"table": "A", "name": "x", "share": 0.25}, {"table": "B", "n": 3}, {"table": "A", "name": "y", "more": 1})

    def test_rows_are_grouped_by_table_and_lacking_columns_are_dashes(self) -> None:
        tables = dict(by_table(self.rows))
        assert text_cells(tables["A"]) == [["name", "share", "more"], ["x", "0.250", "-"], ["y", "-", "1"]]
        assert text_cells(tables["B"]) == [["n"], ["3"]]

    def test_a_page_gets_the_tables_between_its_marks_only(self, tmp_path: Path) -> None:
        written(tmp_path, "pipeline.json", json.dumps([{"photo": "p", "x": 12.5}]))
        page = "a\n<!-- bench: pipeline -->\nold\n<!-- end -->\nb\n<!-- bench: search -->\nkept\n<!-- end -->\n"
        assert filled(page, tmp_path) == (
            "a\n<!-- bench: pipeline -->\n| photo | x |\n| --- | ---: |\n| p | 12.50 |\n<!-- end -->\n"
            "b\n<!-- bench: search -->\nkept\n<!-- end -->\n"
        )

    def test_every_table_has_its_heading(self) -> None:
        assert markdown(self.rows).split("\n")[0] == "**A**"
        assert "**B**" in markdown(self.rows)

    def test_only_names_parts(self) -> None:
        assert list(chosen("")) == ["pipeline", "accuracy", "search", "system"]
        assert list(chosen("search, pipeline")) == ["search", "pipeline"]
        with pytest.raises(InputError, match="pipline"):
            chosen("pipline")

    def test_an_unknown_part_is_told_and_nothing_is_measured(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main({"ONLY": "speed"}) == 2
        assert "the parts are pipeline, accuracy, search, system" in capsys.readouterr().err

    def test_input_is_checked_before_anything_is_measured(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main({"PAIRS": "/nowhere"}) == 2
        assert capsys.readouterr().err == "bench: PAIRS=/nowhere: there is no such file or folder\n"

    def test_lost_answers_are_found_in_any_table(self) -> None:
        assert astray([{"faults": 0, "photos": 3}, {"mixed up": 2}, {"unanswered": 1}]) == [
            "2 mixed up",
            "1 unanswered",
        ]

    def test_what_became_of_a_probe(self) -> None:
        def result(name: str, *people: str | None) -> dict[str, object]:
            return {"image": {"name": name}, "faces": [{"person": person} for person in people]}

        cases = [
            (answers.Probe(Path("1"), "ann", "1"), result("1", "ann", "ben")),
            (answers.Probe(Path("2"), "ann", "2"), result("2", "ben")),
            (answers.Probe(Path("3"), "ann", "3"), result("3", None, "ann")),
            (answers.Probe(Path("4"), "ann", "4"), result("3", "ann")),
            (answers.Probe(Path("5"), None, "5"), result("5", "ann")),
            (answers.Probe(Path("6"), None, "6"), result("6")),
            (answers.Probe(Path("7"), None, "7"), None),
        ]
        row = answers.row([probe for probe, _ in cases], [found for _, found in cases])  # type: ignore[misc]
        assert (row["probes"], row["unanswered"], row["mixed up"]) == (7, 1, 1)
        assert (row["identified %"], row["named wrongly %"], row["not named %"]) == (25.0, 25.0, 25.0)
        assert row["strangers named %"] == pytest.approx(100 / 3)
