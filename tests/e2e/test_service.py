"""Real photos through the real service: web, LocalStack's S3 and SQS, two workers."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient, FaceServiceError
from local.stack import Stack
from tests.pictures import picture, png_claiming


def post(stack: Stack, path: str, field: str, name: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{stack.url}{path}", files={field: (name, body)}, timeout=60, trust_env=False)


def test_two_people_are_named_and_a_stranger_is_not(face: FaceClient, samples: Path) -> None:
    face.enrol("Obama", [samples / "obama.jpg"])
    face.enrol("Biden", [samples / "biden.jpg"])
    assert [(one["person"], one["photos"]) for one in face.people()] == [("Biden", 1), ("Obama", 1)]
    named = face.identify(samples / "obama2.jpg")
    (found,) = named["faces"]
    assert (found["decision"], found["person"]) == ("match", "Obama")
    assert found["distance"] is not None
    assert found["distance"] <= found["threshold"]
    assert found["l2_distance"] is not None
    assert found["l2_distance"] < 0.45
    assert 0 < found["expected_false_match_rate"] < 0.1
    assert [candidate["person"] for candidate in found["candidates"]] == ["Obama", "Biden"]
    assert named["model"].startswith("dlib-resnet29-v1")
    assert (named["profile"], named["worker"][:2]) == ("balanced", "i-")
    assert named["timing"]["total_ms"] > named["timing"]["detect_ms"] > 0
    (stranger,) = face.identify(samples / "astronaut.png")["faces"]
    assert (stranger["decision"], stranger["person"]) == ("unknown", None)
    assert face.identify(samples / "chelsea.png")["faces"] == []


def test_an_enrolment_is_seen_by_the_next_request_whichever_worker_takes_it(face: FaceClient, samples: Path) -> None:
    for _ in range(5):
        face.enrol("Obama", [samples / "obama.jpg"])
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(lambda _: face.identify(samples / "obama2.jpg"), range(4)))
        assert [found["person"] for result in results for found in result["faces"]] == ["Obama"] * 4
        face.erase("Obama")
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(lambda _: face.identify(samples / "obama2.jpg"), range(4)))
        assert [found["person"] for result in results for found in result["faces"]] == [None] * 4


def test_a_face_that_was_rejected_is_not_named_until_that_is_taken_back(face: FaceClient, samples: Path) -> None:
    face.enrol("Obama", [samples / "obama.jpg"])
    named = face.identify(samples / "obama2.jpg")
    assert named["faces"][0]["person"] == "Obama"
    made = face.rejections.add(named["id"])
    assert (made["verdict"], made["person"]) == ("accepted", "Obama")
    for _ in range(4):  # whichever worker takes it
        (found,) = face.identify(samples / "obama2.jpg")["faces"]
        assert (found["decision"], found["person"]) == ("unknown", None)
        assert [candidate["person"] for candidate in found["candidates"]] == ["Obama"]
    assert face.identify(samples / "obama.jpg")["faces"][0]["person"] == "Obama"
    assert [entry["person"] for entry in face.people()] == ["Obama"]
    face.rejections.undo(made["rejection"])
    assert face.identify(samples / "obama2.jpg")["faces"][0]["person"] == "Obama"
    assert list(face.rejections.all()) == []


def test_the_classic_form(face: FaceClient, samples: Path) -> None:
    face.enrol("Biden", [samples / "biden.jpg"])
    assert face.classic(samples / "biden.jpg", name="test_01.jpg") == "test_01:Biden"
    assert face.classic(samples / "astronaut.png") == "astronaut:unknown"
    assert face.classic(samples / "chelsea.png") == "chelsea:no-face"


def test_not_waiting_and_looking_later(face: FaceClient, samples: Path) -> None:
    queued = face.identify(samples / "obama3.jpg", wait=0)
    assert queued["state"] == "queued"  # type: ignore[comparison-overlap]
    deadline = time.monotonic() + 20
    while (result := face.identification(queued["id"]))["state"] == "queued":  # type: ignore[comparison-overlap]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (result["state"], len(result["faces"])) == ("done", 1)


def test_two_photos_are_of_one_person_or_not(face: FaceClient, samples: Path) -> None:
    same = face.verify(samples / "obama.jpg", samples / "obama2.jpg")
    found = same["verification"]
    assert (same["operation"], same["state"], found["decision"]) == ("verify", "done", "same")
    assert 0 < found["distance"] <= found["threshold"]
    assert 0 < found["l2_distance"] < 0.6
    assert 0 < found["expected_false_match_rate"] < 0.01
    assert (same["image"]["name"], same["other_image"]["name"]) == ("obama.jpg", "obama2.jpg")
    assert [len(face["landmarks"]) for face in same["faces"]] == [5, 5]
    assert face.verification(same["id"]) == same
    for other in ("biden.jpg", "astronaut.png"):
        found = face.verify(samples / "obama2.jpg", samples / other)["verification"]
        assert found["decision"] == "different"
        assert found["distance"] > found["threshold"]
    assert list(face.people()) == [], "nobody was enrolled by it"


@pytest.mark.parametrize(
    ("names", "which"), [(("chelsea.png", "obama.jpg"), "first"), (("obama.jpg", "chelsea.png"), "second")]
)
def test_a_photo_without_a_face_has_nobody_to_compare(
    face: FaceClient, samples: Path, names: tuple[str, str], which: str
) -> None:
    with pytest.raises(FaceServiceError, match=f"{which} photo") as caught:
        face.verify(samples / names[0], samples / names[1])
    assert (caught.value.status, caught.value.code) == (422, "face-missing")


def test_a_pair_is_kept_side_by_side_and_looked_up_as_such(stack: Stack, face: FaceClient, samples: Path) -> None:
    queued = face.verify(samples / "obama.jpg", samples / "biden.jpg", wait=0)
    deadline = time.monotonic() + 20
    while (result := face.verification(queued["id"]))["state"] == "queued":  # type: ignore[comparison-overlap]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert result["verification"]["decision"] == "different"
    assert [_stored(stack, f"images/{name}") for name in (queued["id"], f"{queued['id']}-other")] == [200, 200]
    for look_up in (face.identification, face.detection):
        with pytest.raises(FaceServiceError, match="not-found"):
            look_up(queued["id"])


@pytest.mark.parametrize("name", ["obama2.jpg", "biden.jpg", "astronaut.png", "chelsea.png"])
def test_detection_finds_the_faces_that_identification_decides_about(
    face: FaceClient, samples: Path, name: str
) -> None:
    detected, identified = face.detect(samples / name), face.identify(samples / name)
    assert (detected["operation"], detected["image"]) == ("detect", identified["image"])
    assert [found["box"] for found in detected["faces"]] == [found["box"] for found in identified["faces"]]
    assert [found["quality"] for found in detected["faces"]] == [found["quality"] for found in identified["faces"]]
    assert all(set(found) == {"box", "landmarks", "quality"} for found in detected["faces"])
    assert face.detection(detected["id"]) == detected


def test_many_clients_at_once_each_get_their_own_answer(face: FaceClient, samples: Path) -> None:
    face.enrol("Biden", [samples / "biden.jpg"])
    expected = {"biden.jpg": "Biden", "astronaut.png": "unknown", "chelsea.png": "no-face"}
    work = [(f"{number:03d}-{Path(name).stem}", name) for number in range(20) for name in expected]
    with ThreadPoolExecutor(30) as threads:
        lines = list(threads.map(lambda one: face.classic(samples / one[1], name=f"{one[0]}.jpg"), work))
    assert lines == [f"{stem}:{expected[name]}" for stem, name in work]


def test_photos_that_were_not_accepted_and_people_who_were_removed_leave_no_photo(
    stack: Stack, face: FaceClient, samples: Path
) -> None:
    photos = [samples / "obama.jpg", samples / "chelsea.png"]
    accepted, refused = face.enrol("Obama", photos)
    assert (accepted["verdict"], refused["verdict"]) == ("accepted", "no-face")
    assert _stored(stack, f"photos/{accepted['photo']}") == 200
    assert _stored(stack, f"photos/{refused['photo']}") == 404
    face.erase("Obama")
    assert _stored(stack, f"photos/{accepted['photo']}") == 404


def _stored(stack: Stack, key: str) -> int:
    """Status of a HEAD of the object, unsigned as LocalStack allows."""
    assert stack.resources is not None
    url = f"{stack.resources.endpoint}/{stack.resources.bucket}/{key}"
    return httpx.head(url, trust_env=False).status_code


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("empty.jpg", b"", 400, "image-empty"),
        ("text.jpg", b"this is no picture", 415, "type-unsupported"),
        ("vector.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "type-unsupported"),
        ("bomb.png", png_claiming(60_000, 60_000), 413, "image-too-large"),
        ("lying.png", png_claiming(4_000, 4_000), 422, "image-unreadable"),
        ("cut.jpg", picture("JPEG", (900, 700))[:300], 415, "type-unsupported"),
        ("a:b.jpg", picture(), 422, "name-invalid"),
        ("../a.jpg", picture(), 422, "name-invalid"),
        ("a/b.jpg", picture(), 422, "name-invalid"),
        ("huge.jpg", b"\xff\xd8" + b"\0" * 30_000_000, 413, "body-too-large"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@pytest.mark.parametrize(
    ("path", "field"), [("/", "inputFile"), ("/v1/identifications", "image"), ("/v1/detections", "image")]
)
def test_bad_photos_get_clear_errors(
    stack: Stack, path: str, field: str, name: str, body: bytes, status: int, code: str
) -> None:
    answer = post(stack, path, field, name, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_format_is_read(stack: Stack, kind: str, mode: str) -> None:
    answer = post(stack, "/v1/identifications", "image", f"plain.{kind.lower()}", picture(kind, (80, 60), mode))
    assert answer.status_code == 200
    assert (answer.json()["image"]["width"], answer.json()["image"]["height"], answer.json()["faces"]) == (80, 60, [])


def test_hostile_files_are_answered_and_no_worker_dies(stack: Stack, face_data: Path) -> None:
    pids = [worker.pid for worker in stack.workers]
    for file in sorted((face_data / "hostile").iterdir()):
        for path, field in (("/", "inputFile"), ("/v1/identifications", "image")):
            answer = post(stack, path, field, file.name, file.read_bytes())
            assert answer.status_code < 500, file.name
            if answer.status_code >= 400:
                assert answer.json()["code"], file.name
    stack.watch()
    assert [worker.pid for worker in stack.workers] == pids


def test_all_faces_of_a_group(face: FaceClient, face_data: Path) -> None:
    groups = face_data / "groups"
    for person in ("leonard", "sheldon", "penny", "howard", "raj"):
        face.enrol(person, sorted((groups / person).iterdir())[:3])
    faces = face.identify(groups / "bbt4.jpg")["faces"]
    assert len(faces) == 6
    assert len({found["person"] for found in faces if found["person"]}) >= 3
    assert [found["box"] for found in face.detect(groups / "bbt4.jpg")["faces"]] == [found["box"] for found in faces]


def test_wrong_requests(face: FaceClient, samples: Path, stack: Stack) -> None:
    for person in ("a:b", "a..b", "a/b", "unknown"):
        with pytest.raises(FaceServiceError, match="person-invalid"):
            face.enrol(person, [samples / "obama.jpg"])
    assert httpx.post(f"{stack.url}/", trust_env=False).json()["code"] == "image-missing"
    assert httpx.get(f"{stack.url}/v1/identifications/x", trust_env=False).json()["code"] == "id-invalid"


def test_operators_see_health_and_metrics(stack: Stack, face: FaceClient, samples: Path) -> None:
    face.identify(samples / "chelsea.png")
    alive = httpx.get(f"{stack.url}/healthz", trust_env=False).json()
    assert alive == {"status": "ok", "version": metadata.version("elastic-face-web")}
    assert httpx.get(f"{stack.url}/readyz", trust_env=False).json() == {"status": "ok"}
    assert "face_web_jobs_total" in httpx.get(f"{stack.url}/metrics", trust_env=False).text
    workers = "".join(httpx.get(url, trust_env=False).text for url in stack.worker_metrics)
    assert 'face_worker_jobs_total{operation="identify",outcome="done"}' in workers
    assert 'face_worker_stage_seconds_count{stage="detect"}' in workers
