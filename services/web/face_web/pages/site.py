"""What all pages share: how they are declared, who sees them, what they look like when something is wrong."""

import secrets
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote, urlencode

from flask import Blueprint, Flask, Response, g, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.access import Caller, Requirement, Role
from face_web.admission import CSRF_FIELD, PAGES
from face_web.pages.assets import Assets
from face_web.pages.inside import Inside, RefusedError
from face_web.problems import described, of_http
from face_web.services import Services
from face_web.sessions import COOKIE, csrf_token

_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_SAID = "said"
_SAID_SECONDS = 30
_SIGN_IN = (Code.KEY_MISSING, Code.KEY_INVALID)
_NAVIGATION = (
    ("recognise", "/recognise", "Recognise", Role.SUBMIT),
    ("people", "/people", "People", Role.ENROL),
    ("review", "/review", "Review", Role.ENROL),
    ("fleet", "/fleet", "Fleet", Role.SUBMIT),
    ("jobs", "/jobs", "Jobs", Role.ENROL),
    ("settings", "/settings", "Settings", Role.SUBMIT),
)


class Site:
    """The pages over one application. A page's view is a function of the request under way."""

    def __init__(self, app: Flask, services: Services) -> None:
        self.blueprint = Blueprint(PAGES, __name__)
        self.services = services
        self.api = Inside(app)
        self.requirements: dict[str, Requirement] = {}
        """What each page asks of its reader; those that are not in it are open to everybody."""
        app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
        self.blueprint.register_error_handler(ServiceError, self._failed)
        self.blueprint.register_error_handler(RefusedError, self._refused)
        self.blueprint.register_error_handler(RequestEntityTooLarge, self._too_large)
        app.register_error_handler(NotFound, self._missing)
        app.register_error_handler(MethodNotAllowed, self._missing)

    @cached_property
    def assets(self) -> Assets:
        """Style sheets and scripts."""
        return Assets()

    def page(
        self,
        method: str,
        path: str,
        view: Callable[..., ResponseReturnValue],
        *,
        id: str,  # noqa: A002
        role: Role | None = None,
    ) -> None:
        """Declare a page, or what a form or a part of a page asks for; `role` None: open to everybody."""
        self.blueprint.add_url_rule(path, id, _kept_private(view), methods=[method])
        if role is not None:
            self.requirements[f"{PAGES}.{id}"] = Requirement(role, "caller")

    @property
    def collection(self) -> str:
        """The collection that the reader looks at."""
        return request.args.get("collection") or "default"

    @property
    def here(self) -> dict[str, Any]:
        """What a call about this collection has in its query."""
        return {"collection": self.collection}

    @property
    def is_part(self) -> bool:
        """Whether a part of a page is asked for, to be put into one that is open."""
        return request.headers.get("HX-Request") == "true" and "HX-History-Restore-Request" not in request.headers

    def link(self, path: str, **query: Any) -> str:
        """The address of a page in the reader's collection; parameters that are None or empty are left out."""
        found = {name: value for name, value in query.items() if value not in (None, "")}
        if self.collection != "default":
            found.setdefault("collection", self.collection)
        fragment = found.pop("fragment", None)
        asked = f"{path}?{urlencode(found)}" if found else path
        return f"{asked}#{quote(fragment)}" if fragment else asked

    def render(self, template: str, **values: Any) -> str:
        """A page, or a part of one."""
        return render_template(template, site=self, link=self.link, static=self.assets.link, **self._shared(), **values)

    def go(self, path: str, said: str = "", **query: Any) -> Response:
        """Lead the reader on after a form; `said` is shown once, on top of the page that comes."""
        response = make_response(redirect(self.link(path, **query), 303))
        if said:
            response.set_cookie(_SAID, quote(said), max_age=_SAID_SECONDS, **cookie_rules())
        return response

    def once(self) -> str:
        """What makes a form that is sent twice do its work once."""
        return request.form.get("once", "")

    def _shared(self) -> dict[str, Any]:
        caller: Caller | None = g.get("caller")
        token = request.cookies.get(COOKIE, "")
        is_open = self.services.access.is_open
        return {
            "caller": caller,
            "can": lambda role: caller is not None and caller.role.covers(Role(role)),
            "navigation": _navigation(caller),
            "collection": self.collection,
            "csrf": csrf_token(token) if token and not is_open else "",
            "csrf_name": CSRF_FIELD,
            "is_open": is_open,
            "once_token": secrets.token_urlsafe(12),
            "said": unquote(request.cookies.get(_SAID, "")),
            "version": self.services.version,
        }

    def _failed(self, error: ServiceError) -> ResponseReturnValue:
        if error.code in _SIGN_IN and not self.is_part:
            back = "?" + urlencode({"next": request.full_path.rstrip("?")}) if request.method == "GET" else ""
            return redirect(f"/sign-in{back}", 303)
        return self._told(error.code, error.detail)

    def _missing(self, error: HTTPException) -> ResponseReturnValue:
        """An address where there is nothing to see: a page for a browser, a problem for everybody else."""
        if request.accept_mimetypes.best_match(("application/problem+json", "text/html")) == "text/html":
            return self._told(Code.NOT_FOUND, "there is nothing at this address")
        return of_http(error)

    def _refused(self, refusal: RefusedError) -> ResponseReturnValue:
        return self._problem(refusal.problem)

    def _too_large(self, _: RequestEntityTooLarge) -> ResponseReturnValue:
        most = self.services.settings.max_body_bytes / 2**20
        return self._told(Code.BODY_TOO_LARGE, f"all that one form sends may have {most:g} MiB")

    def _told(self, code: Code, detail: str) -> ResponseReturnValue:
        return self._problem(described(code, detail))

    def _problem(self, problem: Any) -> ResponseReturnValue:
        template = "_problem.html" if self.is_part else "problem.html"
        response = make_response(self.render(template, problem=problem), problem["status"])
        return _secured(response)


def cookie_rules() -> dict[str, Any]:
    """How browsers are to keep a cookie: from scripts, from other sites and, where HTTPS is spoken, for that alone.

    The edge in front says whether it is; whoever forges that does so for a cookie of their own.
    """
    is_secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    return {"httponly": True, "samesite": "Strict", "secure": is_secure}


def _navigation(caller: Caller | None) -> Sequence[tuple[str, str, str]]:
    """The pages that the reader may open: id, path, title."""
    if caller is None:
        return ()
    return [(id_, path, title) for id_, path, title, role in _NAVIGATION if caller.role.covers(role)]


def _kept_private(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    def secured(**arguments: Any) -> ResponseReturnValue:
        response = _secured(make_response(view(**arguments)))
        if response.status_code == 200 and _SAID in request.cookies and "HX-Request" not in request.headers:
            response.delete_cookie(_SAID, **cookie_rules())
        return response

    return secured


def _secured(response: Response) -> Response:
    headers = {
        "Content-Security-Policy": _CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Vary": "HX-Request",
    }
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response
