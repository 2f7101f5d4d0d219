"""`face`: the service from a terminal."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from face_client.client import FaceClient, FaceServiceError
from face_common.contract import Face, Result

_SAME, _DIFFERENT, _UNDECIDED = 0, 1, 2  # as cmp does: a script must not take a refusal for an answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when the service refused, 2 for wrong arguments.

    `verify` ends with 0 for the same person, 1 for different people, 2 when there is no answer.
    """
    given = _parser().parse_args(arguments)
    try:
        with FaceClient(given.url, collection=given.collection) as client:
            status: int = given.command(client, given)
            return status
    except (FaceServiceError, OSError) as error:
        print(f"face: {error}", file=sys.stderr)
    except httpx.HTTPError as error:
        print(f"face: no service at {given.url} ({error}); is it running?", file=sys.stderr)
    refused: int = given.refused
    return refused


def describe(face: Face) -> str:
    """An identified face in one line: who, how near, where; and why nobody is named or trusted, where that is known."""
    name = face.get("person") or face.get("decision", "face")
    place = ", ".join([_place(face), *face["quality"]["reasons"]])
    return f"{name}  {_nearness(face)}  ({place})"


def _nearness(face: Face) -> str:
    distance = face.get("distance")
    if distance is None:
        return "nobody to compare with"
    near = f"distance {distance:.2f}"
    rivals = " or ".join(candidate["person"] for candidate in face.get("candidates", [])[:2])
    if face.get("decision") == "ambiguous" and rivals:
        return f"{near}, {rivals}"
    return f"{near}, threshold {face['threshold']:.2f}" if face.get("decision") == "unknown" else near


def _place(face: Face) -> str:
    box = face["box"]
    return f"{box['width']}x{box['height']} at {box['left']},{box['top']}"


def _describe_place(face: Face) -> str:
    """A detected face in one line: where it is, and how good."""
    quality = face["quality"]
    numbers = f"sharpness {quality['sharpness']:.0f}  yaw {quality['yaw']:.2f}  score {quality['score']:.2f}"
    return "  ".join([_place(face), numbers, *filter(None, [", ".join(quality["reasons"])])])


def _identify(client: FaceClient, given: argparse.Namespace) -> int:
    return _tell_of_each(given.photos, client.identify, describe, "identifications")


def _detect(client: FaceClient, given: argparse.Namespace) -> int:
    return _tell_of_each(given.photos, client.detect, _describe_place, "detections")


def _tell_of_each(
    photos: Sequence[Path], ask: Callable[[Path], Result], line: Callable[[Face], str], answers: str
) -> int:
    """Ask about each photo and print a line for each of its faces; 1 when the service refused one of the photos."""
    status = 0
    for photo in photos:
        try:
            result = ask(photo)
        except FaceServiceError as error:
            print(f"{photo}: {error}", file=sys.stderr)
            status = 1
            continue
        if result["state"] != "done":
            print(f"{photo}: {result['state']}, see /v1/{answers}/{result['id']}")
            continue
        turned = result["image"].get("turned", 0)
        title = f"{photo}, turned by {turned} degrees" if turned else str(photo)
        faces = [line(face) for face in result.get("faces", [])]
        print(f"{title}: " + (f"\n{' ' * len(title)}  ".join(faces) or "no face"))
    return status


def _verify(client: FaceClient, given: argparse.Namespace) -> int:
    result = client.verify(given.first, given.second)
    if "verification" not in result:
        print(f"face: {result['state']}, see /v1/verifications/{result['id']}", file=sys.stderr)
        return _UNDECIDED
    found = result["verification"]
    print(f"{found['decision']}  distance {found['distance']:.2f}, threshold {found['threshold']:.2f}")
    return _SAME if found["decision"] == "same" else _DIFFERENT


def _enrol(client: FaceClient, given: argparse.Namespace) -> int:
    verdicts = client.enrol(given.person, given.photos, insist=given.insist)
    for verdict in verdicts:
        print(f"{verdict['name']}: {verdict['verdict']}, {verdict['detail']}")
    return 0 if any(verdict["verdict"] == "accepted" for verdict in verdicts) else 1


def _people(client: FaceClient, _given: argparse.Namespace) -> int:
    for person, photos in client.people().items():
        print(f"{person}\t{photos}")
    return 0


def _forget(client: FaceClient, given: argparse.Namespace) -> int:
    receipt = client.forget(given.person)
    print(f"{given.person}: {receipt['templates']} template(s) and {len(receipt['photos'])} photo(s) removed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="face", description="Who is in a photo? Ask an Elastic Face Recognition service."
    )
    usual = os.environ.get("FACE_URL", "http://127.0.0.1:8080")
    parser.add_argument("--url", default=usual, help="the service's address (or FACE_URL; %(default)s)")
    parser.add_argument("--collection", default="default", help="which gallery (%(default)s)")
    parser.set_defaults(refused=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    identify = commands.add_parser("identify", help="name the people in photos")
    identify.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    identify.set_defaults(command=_identify)
    verify = commands.add_parser("verify", help="tell whether two photos show one person")
    verify.add_argument("first", type=Path, metavar="PHOTO")
    verify.add_argument("second", type=Path, metavar="PHOTO")
    verify.set_defaults(command=_verify, refused=_UNDECIDED)
    detect = commands.add_parser("detect", help="find the faces in photos")
    detect.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    detect.set_defaults(command=_detect)
    enrol = commands.add_parser("enrol", help="enrol photos of one person")
    likeness = "even if they look like another person, or unlike this person's others"
    enrol.add_argument("--insist", action="store_true", help=likeness)
    enrol.add_argument("person")
    enrol.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    enrol.set_defaults(command=_enrol)
    people = commands.add_parser("people", help="list who is enrolled")
    people.set_defaults(command=_people)
    forget = commands.add_parser("forget", help="remove a person and their photos")
    forget.add_argument("person")
    forget.set_defaults(command=_forget)
    return parser


if __name__ == "__main__":
    sys.exit(main())
