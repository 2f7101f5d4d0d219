import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_common import contract
from face_common.contract import Code, InvalidMessageError, Job, Operation

ULID = "01M8643AZZRKKJF8GJR72883RY"


def job(**fields: object) -> Job:
    usual: dict[str, object] = {
        "id": ULID,
        "operation": Operation.IDENTIFY,
        "key": contract.image_key(ULID),
        "name": "photo.jpg",
        "collection": "default",
        "gallery_version": 3,
        "reply_queue": "https://sqs.eu-central-1.amazonaws.com/123456789012/face-responses-1",
        "submitted_at": 1_700_000_000.25,
        "width": 640,
        "height": 480,
    }
    return Job(**{**usual, **fields})  # type: ignore[arg-type]


def filled(limit: int) -> st.SearchStrategy[str]:
    """Names of up to so many bytes, from letters of one to four bytes each; often of just so many."""
    lengths = st.integers(1, limit) | st.just(limit)
    return st.builds(
        lambda letter, length: letter * (length // len(letter.encode())), st.sampled_from("a'é漢😀"), lengths
    )


image_names = (st.text(min_size=1, max_size=255) | filled(255)).filter(contract.is_image_name)
people = (st.text(min_size=1, max_size=128) | filled(128)).filter(contract.is_person)
collections = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
photos_of = st.one_of(
    st.fixed_dictionaries({"operation": st.sampled_from([Operation.IDENTIFY, Operation.DETECT])}),
    st.fixed_dictionaries(
        {
            "operation": st.just(Operation.ENROL),
            "person": people,
            "insist": st.booleans(),
            "photo": st.sampled_from(["", ULID]),
        }
    ),
    st.fixed_dictionaries({"operation": st.just(Operation.SEARCH), "model": st.text("abc-1", max_size=64)}),
    st.fixed_dictionaries({"operation": st.just(Operation.VERIFY), "other_name": image_names}),
)
"""What a job of each operation has of its own."""
LONGEST_QUEUE = "https://sqs.cn-northwest-1.amazonaws.com.cn/123456789012/" + "q" * 80


@given(
    own=photos_of,
    name=image_names,
    collection=collections,
    version=st.integers(0, 2**63),
    size=st.tuples(st.integers(1, 50_000_000), st.integers(1, 50_000_000)),
    numbers=st.tuples(st.integers(0, 20), st.integers(1, 1000)),
    moment=st.floats(1e9, 4e9),
)
def test_any_job_of_valid_fields_fits_and_survives_the_queue(
    own: dict[str, object],
    name: str,
    collection: str,
    version: int,
    size: tuple[int, int],
    numbers: tuple[int, int],
    moment: float,
) -> None:
    sent = job(
        **own,
        name=name,
        collection=collection,
        gallery_version=version,
        reply_queue=LONGEST_QUEUE,
        submitted_at=moment,
        width=size[0],
        height=size[1],
        top=numbers[0],
        max_faces=numbers[1],
    )
    body = sent.encode()
    assert len(body.encode()) <= contract.JOB_LIMIT
    assert Job.decode(body) == sent


@pytest.mark.parametrize("own", [{"person": "ß" * 64}, {"other_name": "漢" * 85}])
def test_the_longest_names_still_fit_into_a_job(own: dict[str, str]) -> None:
    sent = job(
        name="é" * 127 + "a",
        collection="c" * 40,
        gallery_version=2**63,
        reply_queue=LONGEST_QUEUE,
        width=50_000_000,
        height=50_000_000,
        max_faces=1000,
        **own,
    )
    assert len(sent.encode().encode()) <= contract.JOB_LIMIT


def test_a_job_about_one_photo_is_what_earlier_releases_know() -> None:
    assert not {"other_name", "insist"} & json.loads(job().encode()).keys()
    assert json.loads(job(other_name="b.jpg").encode())["other_name"] == "b.jpg"


def test_a_job_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidMessageError, match="1024"):
        job(reply_queue="https://" + "q" * 1024).encode()


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"schema": 1}', "ÿ", '{"schema": 2, "id": "x"}'])
def test_what_is_no_job_is_refused(body: str) -> None:
    with pytest.raises(InvalidMessageError):
        Job.decode(body)


def test_a_job_of_a_later_schema_is_refused() -> None:
    later = json.loads(job().encode()) | {"schema": 2}
    with pytest.raises(InvalidMessageError, match="schema 2"):
        Job.decode(json.dumps(later))


def test_a_reply_carries_its_result() -> None:
    result = contract.failed_result(job(), Code.IMAGE_UNREADABLE, "damaged")
    assert contract.decode_reply(contract.encode_reply(result)) == (ULID, result)


def test_a_result_too_large_for_a_message_stays_in_the_bucket() -> None:
    result = contract.failed_result(job(), Code.IMAGE_UNREADABLE, "x" * contract.REPLY_LIMIT)
    assert contract.decode_reply(contract.encode_reply(result)) == (ULID, None)


@pytest.mark.parametrize("body", ["", "7", "{}", '"text"'])
def test_what_is_no_reply_is_refused(body: str) -> None:
    with pytest.raises(InvalidMessageError):
        contract.decode_reply(body)


@pytest.mark.parametrize("operation", [Operation.IDENTIFY, Operation.DETECT, Operation.VERIFY])
def test_a_failed_question_says_which_and_why(operation: Operation) -> None:
    failed = contract.failed_result(job(operation=operation), Code.FACE_MISSING, "no face was found in the first photo")
    assert (failed["operation"], failed["state"], "photo" in failed) == (operation.value, "failed", False)
    assert failed["error"] == {"code": "face-missing", "detail": "no face was found in the first photo"}


def test_the_photos_of_a_pair_lie_side_by_side() -> None:
    assert contract.other_image_key(ULID) == contract.image_key(ULID) + "-other"
    assert not contract.is_id(ULID + "-other"), "no call reaches the second photo as if it were a job"


def test_a_failed_enrolment_has_a_verdict() -> None:
    failed = contract.failed_result(job(operation=Operation.ENROL, person="Ada"), Code.IMAGE_UNREADABLE, "damaged")
    assert failed["photo"] == {"photo": ULID, "name": "photo.jpg", "verdict": "unreadable", "detail": "damaged"}


@pytest.mark.parametrize("name", ["a.jpg", "ä ö.png", "photo", ".hidden", "a.b.c", "it's (1).jpg", "x" * 255])
def test_names_that_may_be_photos(name: str) -> None:
    assert contract.is_image_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", "a:b", "../a", "a..b", "a\nb", "a\0", " a", "a ", "x" * 256, "a\u202eb", "é" * 128],
)
def test_names_that_may_not_be_photos(name: str) -> None:
    assert not contract.is_image_name(name)


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Jürgen", "O'Brien", "Li_4", "می\u200cنا", "葛\U000e0100城", "字" * 128]
)
def test_names_that_may_be_people(name: str) -> None:
    assert contract.is_person(name)


@pytest.mark.parametrize(
    "name", ["unknown", "no-face", "a:b", "a/b", "..", "", "x" * 129, "a\u202eb", "a\ud800", "\u200b", "a\xa0b"]
)
def test_names_that_may_not_be_people(name: str) -> None:
    assert not contract.is_person(name)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("default", True),
        ("a", True),
        ("a-1", True),
        ("-a", False),
        ("A", False),
        ("", False),
        ("a" * 41, False),
        ("a/b", False),
    ],
)
def test_collections(name: str, valid: bool) -> None:
    assert contract.is_collection(name) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [(ULID, True), (ULID.lower(), False), ("8" + ULID[1:], False), (ULID[1:], False), ("../" + ULID[3:], False)],
)
def test_ids(text: str, valid: bool) -> None:
    assert contract.is_id(text) is valid
