"""All pages, as one blueprint."""

from flask import Blueprint, Flask, Response

from face_web.access import Requirement
from face_web.pages import entrance, fleet, jobs, people, recognise, review, settings
from face_web.pages.site import Site
from face_web.services import Services

_PAGES = (entrance, recognise, people, jobs, review, fleet, settings)


def blueprint(app: Flask, services: Services) -> tuple[Blueprint, dict[str, Requirement]]:
    """The pages over these services, and what each asks of its reader."""
    site = Site(app, services)

    def static(name: str) -> Response:
        return site.assets.answer(name)

    site.blueprint.add_url_rule("/static/<name>", "static", static)
    for page in _PAGES:
        page.register(site)
    return site.blueprint, site.requirements
