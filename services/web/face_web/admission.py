"""Who makes the request under way: a key in its header, a session in its cookie, or a page of the service itself."""

import hmac
from typing import Final

from flask import request

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.access import Caller
from face_web.services import Services
from face_web.sessions import COOKIE, csrf_token

INSIDE: Final = "face.caller"
"""Where a page that makes a call says, in the call's environment, for whom; no header can be written there."""
PAGES: Final = "pages"
"""Name of the blueprint of all pages."""
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
_SAFE = ("GET", "HEAD", "OPTIONS")


def caller(services: Services) -> Caller:
    """Whoever makes the request; ServiceError with key-missing, key-invalid, forbidden or rate-limited."""
    inside: Caller | None = request.environ.get(INSIDE)
    if inside is not None:
        return inside
    token = request.cookies.get(COOKIE, "")
    counts = token and "Authorization" not in request.headers and not services.access.is_open
    key = _signed_in_with(services, token) if counts else None
    if key is None:
        return services.access.caller(request.headers)
    if request.method not in _SAFE and not hmac.compare_digest(_sent(), csrf_token(token)):
        raise ServiceError(Code.FORBIDDEN, f"the form, or {CSRF_HEADER}, is not of your session: load the page again")
    return services.access.holder(key)


def _signed_in_with(services: Services, token: str) -> str | None:
    """Id of the session's key; None without a session, or when the key has another secret by now."""
    session = services.sessions.find(token)
    if session is None:
        return None
    key = services.keys.find(session.key)
    return session.key if key is None or session.is_of(key) else None


def _sent() -> str:
    """The token against forged requests: in a header, or in a field of a page's form."""
    field = request.form.get(CSRF_FIELD, "") if request.blueprint == PAGES else ""
    return request.headers.get(CSRF_HEADER, field).encode("ascii", "replace").decode()
