"""Style sheets and scripts, each under an address that changes with its content, so that browsers may keep them."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from flask import Response, abort, request

_HTMX = "static/django_htmx/htmx-2.min.js"
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file."""

    body: bytes
    packed: bytes
    """The same, by gzip."""
    kind: str
    version: str


class Assets:
    """All files, in memory: they are few and small."""

    def __init__(self) -> None:
        folder = resources.files("face_web") / "static"
        files = {file.name: file for file in folder.iterdir() if not file.name.startswith(".")}
        files["htmx.js"] = resources.files("django_htmx") / _HTMX
        self._assets = {name: _asset(name, file) for name, file in files.items()}

    def link(self, name: str) -> str:
        """The file's address. KeyError when there is none of this name."""
        return f"/static/{name}?v={self._assets[name].version}"

    def answer(self, name: str) -> Response:
        """The file, for a browser."""
        asset = self._assets.get(name) or abort(404, f"there is no file {name}")
        packs = request.accept_encodings["gzip"] > 0
        response = Response(asset.packed if packs else asset.body, mimetype=asset.kind)
        if packs:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = _FOR_EVER if request.args.get("v") == asset.version else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _asset(name: str, file: Traversable) -> Asset:
    body = file.read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(body, gzip.compress(body, mtime=0), kind, hashlib.sha256(body).hexdigest()[:12])
