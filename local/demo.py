"""`make demo`: enrols two people through the running service and recognises them in other photos."""

import os
import sys
import tempfile
from pathlib import Path

import httpx
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps

from face_client import FaceClient, FaceServiceError
from face_client.sentences import describe
from local.samples import samples

_COLLECTION = "demo"
_PEOPLE = {"Barack Obama": ("obama.jpg", "obama_partial_face.jpg"), "Joe Biden": ("biden.jpg",)}


def main() -> int:
    """Run the demo against the service at FACE_URL; 1 when it cannot, or when it names somebody wrongly."""
    url = os.environ.get("FACE_URL") or f"http://127.0.0.1:{os.environ.get('PORT') or 8080}"
    folder = samples()
    try:
        key = os.environ.get("FACE_KEY", "")
        with FaceClient(url, key=key, collection=_COLLECTION) as client, tempfile.TemporaryDirectory() as made:
            _enrol(client, folder)
            return 0 if _recognise(client, folder, Path(made)) else 1
    except httpx.HTTPError as error:
        print(f"make demo: no service at {url} ({error}). Start it in another shell: make run", file=sys.stderr)
    except FaceServiceError as error:
        print(f"make demo: {error}", file=sys.stderr)
    return 1


def _enrol(client: FaceClient, folder: Path) -> None:
    print(f"Enrolling in the collection '{_COLLECTION}':")
    for person, names in _PEOPLE.items():
        for verdict in client.enrol(person, [folder / name for name in names]):
            print(f"  {person:<14}{verdict['name']:<26}{verdict['verdict']}")


def _recognise(client: FaceClient, folder: Path, made: Path) -> bool:
    """Print who is in each photo; whether everybody was named rightly."""
    print("\nRecognising:")
    right = True
    for photo, expected in _probes(folder, made):
        result = client.identify(photo, wait=60)
        if result["state"] != "done":
            print(f"  {photo.name:<26}no worker has taken it yet")
            right = False
            continue
        faces = result.get("faces", [])
        seen = sorted(face["person"] or face["decision"] for face in faces)
        right = right and seen == sorted(expected)
        lines = [describe(face) for face in faces] or ["no face"]
        print(f"  {photo.name:<26}" + f"\n{'':<28}".join(lines) + f"   {result['timing']['total_ms']:.0f} ms")
    print("\nEverybody was named rightly, and nobody else." if right else "\nSomebody was not named rightly.")
    return right


def _probes(folder: Path, made: Path) -> list[tuple[Path, list[str]]]:
    """Photos that were not enrolled, and who is in them.

    There is only one photo of the second person in the packages, so their probes are made from it: mirrored, smaller,
    darker and recompressed; and beside the other person in one picture.
    """
    portrait = PIL.ImageOps.mirror(PIL.Image.open(folder / "biden.jpg").convert("RGB"))
    portrait.thumbnail((500, 700))
    dimmed = made / "biden-mirrored-dimmed.jpg"
    PIL.ImageEnhance.Brightness(portrait).enhance(0.6).save(dimmed, quality=60)
    other = PIL.Image.open(folder / "obama2.jpg").convert("RGB")
    other.thumbnail((500, 700))
    both = made / "both-together.jpg"
    canvas = PIL.Image.new("RGB", (portrait.width + other.width, max(portrait.height, other.height)))
    canvas.paste(portrait, (0, 0))
    canvas.paste(other, (portrait.width, 0))
    canvas.save(both, quality=85)
    return [
        (folder / "obama2.jpg", ["Barack Obama"]),
        (folder / "obama3.jpg", ["Barack Obama"]),
        (folder / "obama_partial_face2.jpg", ["Barack Obama"]),
        (dimmed, ["Joe Biden"]),
        (both, ["Barack Obama", "Joe Biden"]),
        (folder / "astronaut.png", ["unknown"]),
        (folder / "chelsea.png", []),
    ]


if __name__ == "__main__":
    sys.exit(main())
