"""Faces that nobody was named for, as operators may have them kept to name them later. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from face_common import encodings
from face_common.contract import Box, InvalidMessageError


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """One face of a photo."""

    index: int
    """Which of the identification's faces it is."""
    box: Box
    encoding: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class UnknownFaces:
    """The faces of one identification; it lies at `unknown/<collection>/<id>.json`."""

    id: str
    """The identification's."""
    model: str
    name: str
    """The photo's file name."""
    faces: tuple[UnknownFace, ...]

    def to_json(self) -> bytes:
        """As it is stored."""
        faces = [
            {"index": face.index, "box": face.box, "encoding": encodings.to_text(face.encoding)} for face in self.faces
        ]
        return json.dumps({"id": self.id, "model": self.model, "name": self.name, "faces": faces}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> "UnknownFaces":
        """The inverse; InvalidMessageError when it is none."""
        try:
            fields: dict[str, Any] = json.loads(body)
            faces = tuple(
                UnknownFace(int(face["index"]), face["box"], encodings.from_text(face["encoding"]))
                for face in fields["faces"]
            )
            return cls(str(fields["id"]), str(fields["model"]), str(fields["name"]), faces)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidMessageError(f"not unknown faces: {error}") from error
