"""What a worker's parent process, its nursery and its children must agree on. Imports next to nothing."""

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = struct.Struct("<QI??")
"""A photo on its way to a child: length in bytes, max_faces, careful, encode. Beside it goes a descriptor of memory."""


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """What an inference process needs to know; handed to it as JSON on its command line."""

    engine: str
    profile: str
    cache: Path
    memory_bytes: int
    """What a child may allocate beyond the loaded models."""
    max_pixels: int = 50_000_000
    """Of the largest photo that a child decodes."""
    batch_photos: int = 8
    """Photos whose faces a child encodes together."""

    def to_json(self) -> str:
        """The inverse of from_json."""
        return json.dumps(asdict(self) | {"cache": str(self.cache)})

    @classmethod
    def from_json(cls, text: str) -> "InferenceSettings":
        """The inverse of to_json."""
        fields = json.loads(text)
        return cls(**fields | {"cache": Path(fields["cache"])})
