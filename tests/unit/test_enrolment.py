"""What enrolling leaves behind beside the photos."""

import json

from flask.testing import FlaskClient

from tests.unit.test_gallery_http import asked, audited
from tests.unit.test_http import ADA, NOBODY, Service, client, enrol, service

__all__ = ["client", "service"]


def test_the_log_has_every_enrolment_and_no_name(service: Service, client: FlaskClient) -> None:
    photos = asked(enrol(client, "Ada", ADA, NOBODY, b"no photo"), 201)["photos"]
    entry = audited(service)[-1]
    assert (entry["who"], entry["action"], entry["collection"]) == ("local", "enrol", "default")
    assert entry["subject"] == service.services.audit.subject("default", "Ada")
    assert entry["facts"]["photos"][0] == photos[0]["photo"]
    assert len(entry["facts"]["photos"]) == 2
    assert entry["facts"]["verdicts"] == {"accepted": 1, "no-face": 1, "unreadable": 1}
    assert "Ada" not in json.dumps(entry)


def test_the_log_has_an_enrolment_of_which_nothing_was_accepted(service: Service, client: FlaskClient) -> None:
    asked(enrol(client, "Ada", NOBODY), 422)
    assert audited(service)[-1]["facts"]["verdicts"] == {"no-face": 1}
