"""Signing in with a key, signing out, and choosing a collection."""

from flask import Response, make_response, redirect, request
from flask.typing import ResponseReturnValue

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.access import Key, Role
from face_web.pages.site import Site, cookie_rules
from face_web.problems import STATUS
from face_web.sessions import COOKIE, SECONDS

_HOME = "/recognise"


def register(site: Site) -> None:
    """Declare the pages."""
    entrance = _Entrance(site)
    site.page("GET", "/sign-in", entrance.form, id="sign-in")
    site.page("POST", "/sign-in", entrance.sign_in, id="sign-in-with")
    site.page("POST", "/sign-out", entrance.sign_out, id="sign-out", role=Role.SUBMIT)
    site.page("GET", "/collections", entrance.collections, id="collections", role=Role.SUBMIT)


class _Entrance:
    def __init__(self, site: Site) -> None:
        self._site = site

    def form(self) -> ResponseReturnValue:
        if self._site.services.access.is_open:
            return redirect(_HOME, 303)
        return self._site.render("sign_in.html", next=_within(request.args.get("next", "")), fault="")

    def sign_in(self) -> ResponseReturnValue:
        """Begin a session with the key of the form."""
        services, where = self._site.services, _within(request.form.get("next", ""))
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise ServiceError(Code.FORBIDDEN, "the form of another site cannot sign anybody in here")
        try:
            token = services.sessions.begin(self._key(request.form.get("key", "").strip()))
        except ServiceError as error:
            status = STATUS[error.code][0]
            return make_response(self._site.render("sign_in.html", next=where, fault=error.detail), status)
        response = redirect(where, 303)
        response.set_cookie(COOKIE, token, max_age=int(SECONDS), **cookie_rules())
        return response

    def _key(self, text: str) -> Key:
        """The key with this text; ServiceError with key-invalid, rate-limited, or what else calls with it have."""
        services = self._site.services
        caller = services.access.caller({"Authorization": f"Bearer {text}"})
        key = services.keys.find(caller.key)
        if key is None:
            raise ServiceError(Code.KEY_INVALID, "the key was revoked just now")
        return key

    def sign_out(self) -> Response:
        """End the session."""
        self._site.services.sessions.end(request.cookies.get(COOKIE, ""))
        response = make_response(redirect("/sign-in", 303))
        response.delete_cookie(COOKIE, **cookie_rules())
        return response

    def collections(self) -> str:
        """The collections to choose from: a part of every page, asked for when it is opened."""
        found = self._site.api.get("/v1/collections")["collections"]
        names = sorted({*(entry["collection"] for entry in found), self._site.collection})
        return self._site.render("_collections.html", names=names)


def _within(address: str) -> str:
    """The address, if it leads to a page of this service; else the first page."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if inside and address.isprintable() else _HOME
