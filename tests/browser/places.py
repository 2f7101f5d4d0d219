"""Every page that a reader may open, and what has to be there for it to show something."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """What was done in the service before the tests."""

    person: str
    identification: str
    stranger: str
    """An identification of somebody whom nobody has enrolled."""
    batch: str
    imported: str
    erased: str
    """An erasure's receipt."""
    dead: str
    """A job that no worker could finish."""


PAGES = {
    "recognise": "/recognise",
    "identification": "/identifications/{identification}",
    "stranger": "/identifications/{stranger}",
    "people": "/people",
    "person": "/people/{person}",
    "answers": "/people/{person}/identifications",
    "erasing": "/people/{person}/erasure",
    "erasure": "/erasures/{erased}",
    "import": "/people/import",
    "review": "/review",
    "ambiguous": "/review?list=ambiguous",
    "rejected": "/review?list=rejected",
    "fleet": "/fleet",
    "jobs": "/jobs",
    "batch": "/jobs/batches/{batch}",
    "import-job": "/jobs/imports/{imported}",
    "dead-letters": "/jobs/dead-letters",
    "settings": "/settings",
    "thresholds": "/settings/thresholds",
    "retention": "/settings/retention",
    "audit": "/settings/audit",
    "gallery": "/settings/gallery",
    "errors": "/docs/errors",
}
"""Name and path; `/sign-in` is nobody's where no key is needed, and has tests of its own."""


def path(page: str, known: Known) -> str:
    """Where a page is."""
    return PAGES[page].format(**asdict(known))
