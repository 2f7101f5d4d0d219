from hypothesis import given
from hypothesis import strategies as st

from face_app.decision import Decision, DecisionRule, decide
from face_app.matching import Neighbour

RULE = DecisionRule(threshold=0.6, margin=0.05, expected_rate=0.01)
distances = st.floats(0, 2, allow_nan=False)


def near(person: str, distance: float) -> Neighbour:
    return Neighbour(person, distance, l2_distance=distance)


neighbours = st.lists(distances, max_size=4).map(
    lambda found: [near(f"person-{index}", distance) for index, distance in enumerate(sorted(found))]
)


def test_a_near_face_with_a_clear_lead_is_named() -> None:
    assert decide([near("a", 0.4), near("b", 0.5)], RULE) == Decision("match", "a", 0.4, 0.5 - 0.4)


def test_two_people_too_close_name_nobody() -> None:
    decision = decide([near("a", 0.40), near("b", 0.42)], RULE)
    assert (decision.kind, decision.person) == ("ambiguous", None)


def test_the_only_person_needs_no_lead() -> None:
    assert decide([near("a", 0.6)], RULE) == Decision("match", "a", 0.6, None)


def test_an_empty_gallery_knows_nobody() -> None:
    assert decide([], RULE) == Decision("unknown", None, None, None)


@given(neighbours)
def test_a_face_that_is_not_fit_is_nobody_s(found: list[Neighbour]) -> None:
    decision = decide(found, RULE, fit=False)
    assert (decision.kind, decision.person) == ("unknown", None)


@given(neighbours, distances, st.floats(0, 1))
def test_nobody_is_named_beyond_the_threshold(found: list[Neighbour], threshold: float, margin: float) -> None:
    decision = decide(found, DecisionRule(threshold, margin, 0.01))
    assert (decision.person is not None) == (decision.kind == "match")
    if decision.kind != "unknown":
        assert decision.distance is not None
        assert decision.distance <= threshold


@given(neighbours, distances, distances, st.floats(0, 1))
def test_a_stricter_rule_never_names_more(found: list[Neighbour], one: float, other: float, margin: float) -> None:
    strict, loose = (decide(found, DecisionRule(limit, margin, 0.01)) for limit in sorted((one, other)))
    assert strict.person is None or strict.person == loose.person


def test_a_face_that_is_nearest_to_a_rejected_one_is_nobody_s() -> None:
    decision = decide([near("a", 0.4), near("b", 0.41)], RULE, rejected=0.39)
    assert (decision.kind, decision.person, decision.distance) == ("unknown", None, 0.4)
    assert decision.margin is not None
    assert decision.margin < 0


def test_a_rejected_face_is_as_good_as_a_second_person() -> None:
    assert decide([near("a", 0.4)], RULE, rejected=0.42).kind == "ambiguous"
    assert decide([near("a", 0.4), near("b", 0.9)], RULE, rejected=0.5) == Decision("match", "a", 0.4, 0.5 - 0.4)
    assert decide([], RULE, rejected=0.1) == Decision("unknown", None, None, None)


@given(neighbours, distances, st.floats(0, 1))
def test_a_rejected_face_never_makes_anybody_named(found: list[Neighbour], rejected: float, margin: float) -> None:
    rule = DecisionRule(0.6, margin, 0.01)
    with_it, without = decide(found, rule, rejected=rejected), decide(found, rule)
    assert with_it.person in (None, without.person)
    assert with_it.kind in ("unknown", "ambiguous") or rejected - found[0].distance >= margin
