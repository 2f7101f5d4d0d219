"""What schemathesis cannot know by itself: photos, archives, gallery files, and what the service under test holds."""

import datetime
import io
import json
import os
import zipfile
from contextlib import suppress
from typing import Any

import PIL.Image
import schemathesis
from hypothesis import strategies

KNOWN = "FACE_KNOWN"
"""The environment variable with what the service holds: JSON, by operation id (* for all) and parameter."""
_KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


def _photo(kind: str, side: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (side, side), (side % 256, 90, 120)).save(file, kind)
    return file.getvalue()


def _archive(names: tuple[str, ...]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, _photo("PNG", 40))
    return file.getvalue()


for _kind in _KINDS:
    _photos = strategies.sampled_from([_photo(_kind, side) for side in (32, 64, 100)])
    schemathesis.openapi.media_type(f"image/{_kind.lower()}", _photos)
_names = (("Ada/1.png",), ("Ada/1.png", "Bob/2.png"), ("a/b/Ada/3.png",))
schemathesis.openapi.media_type("application/zip", strategies.sampled_from([_archive(names) for names in _names]))
schemathesis.openapi.media_type("application/jsonl", strategies.just(b'{"format": "of somebody else"}\n'))


@schemathesis.serializer("application/jsonl")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> Any:
    return value


@schemathesis.hook
def before_load_schema(_: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Give parameters what there is for examples; otherwise nearly every call of a path would be a 404."""
    known = json.loads(os.environ[KNOWN])
    for path in raw_schema["paths"].values():
        for call in path.values():
            examples = known["*"] | known.get(call["operationId"], {})
            for parameter in call.get("parameters", []):
                if example := examples.get(parameter["name"]):
                    parameter["example"] = example


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, **__: Any) -> None:
    """Mend forms that should be right: lists of files with a media type, and what excludes each other."""
    if case.operation.definition.raw["operationId"] == "set-override":
        _end_soon(case)
        return
    if case.meta is None or case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if not isinstance(case.body, dict) or "image" not in case.body:
        return
    form = {name: value for name, value in case.body.items() if name != "archive"}
    files = case.operation.get_body_for_media_type(case.media_type).form_properties["image"]
    if files.get("type") == "array" and not isinstance(form["image"], list):
        form["image"] = [form["image"]] * files["minItems"]
    case.body = form
    case._record_starting_state()  # or it would be taken for a wrong one: to its validator bytes are no strings


def _end_soon(case: schemathesis.Case) -> None:
    """A fleet that is paused for longer than a moment, or pinned to nothing, leaves the other calls without workers."""
    if not isinstance(case.body, dict):
        return
    until = case.body.get("until")
    if until is not None:
        with suppress(TypeError, ValueError):
            until = None if datetime.datetime.fromisoformat(until).tzinfo else until
    if until is None:  # what is no time stays as it is: it is to be refused
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
        case.body = case.body | {"until": soon.isoformat()}
        case._record_starting_state()
