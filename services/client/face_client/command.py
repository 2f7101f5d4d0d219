"""`face`: the service from a terminal."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from face_client.client import FaceClient, FaceServiceError
from face_common.contract import Face


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when the service refused, 2 for wrong arguments."""
    given = _parser().parse_args(arguments)
    try:
        with FaceClient(given.url, collection=given.collection) as client:
            status: int = given.command(client, given)
            return status
    except (FaceServiceError, OSError) as error:
        print(f"face: {error}", file=sys.stderr)
    except httpx.HTTPError as error:
        print(f"face: no service at {given.url} ({error}); is it running?", file=sys.stderr)
    return 1


def describe(face: Face) -> str:
    """One face in one line."""
    box = face["box"]
    place = f"{box['width']}x{box['height']} at {box['left']},{box['top']}"
    distance = "" if face["distance"] is None else f"  distance {face['distance']:.2f}"
    return f"{face['person'] or face['decision']}{distance}  ({place})"


def _identify(client: FaceClient, given: argparse.Namespace) -> int:
    status = 0
    for photo in given.photos:
        try:
            result = client.identify(photo)
        except FaceServiceError as error:
            print(f"{photo}: {error}", file=sys.stderr)
            status = 1
            continue
        if result["state"] != "done":
            print(f"{photo}: {result['state']}, see /v1/identifications/{result['id']}")
            continue
        faces = [describe(face) for face in result.get("faces", [])]
        print(f"{photo}: " + (f"\n{' ' * len(str(photo))}  ".join(faces) or "no face"))
    return status


def _enrol(client: FaceClient, given: argparse.Namespace) -> int:
    verdicts = client.enrol(given.person, given.photos)
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
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    identify = commands.add_parser("identify", help="name the people in photos")
    identify.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    identify.set_defaults(command=_identify)
    enrol = commands.add_parser("enrol", help="enrol photos of one person")
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
