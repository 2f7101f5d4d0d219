"""A web host as site.yml leaves it."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from testinfra.host import Host

from deployment.access import key_hash, key_text
from tests.hosts.checks import host_is_closed, release_is_roots, unit_runs_confined
from tests.hosts.units import comes_back, eventually, fill_memory, listening, main_pid
from tests.hosts.where import Where

UNIT = "face-web"
_WATCHDOG_SECONDS = 75.0  # two periods, and a start
_TOO_LARGE = 24 * 2**20


@contextmanager
def connection(where: Where) -> Iterator[http.client.HTTPSConnection]:
    """A TLS connection to the host, whoever signed its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    channel = http.client.HTTPSConnection(where.web, timeout=60, context=context)
    yield channel
    channel.close()


def answer(where: Where, path: str, key: str = "") -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to a GET."""
    with connection(where) as channel:
        channel.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        response = channel.getresponse()
        return response.status, response.headers.get_content_type(), response.read()


def is_ready(where: Where) -> bool:
    try:
        return answer(where, "/readyz")[0] == 200
    except OSError:
        return False


def test_the_host_is_closed(web: Host) -> None:
    host_is_closed(web)


def test_the_service_runs_confined(web: Host) -> None:
    unit_runs_confined(web, UNIT)
    assert web.service(f"{UNIT}.socket").is_running
    assert web.service(f"{UNIT}.socket").is_enabled


def test_it_listens_where_it_should(web: Host) -> None:
    sockets = listening(web)
    assert {port for address, port in sockets if not address.startswith(("127.", "::1"))} == {22, 80, 443}
    assert ("127.0.0.1", 8080) in sockets


def test_the_release_is_roots(web: Host) -> None:
    release_is_roots(web, "web")


def test_plain_http_is_sent_to_tls(where: Where) -> None:
    plain = http.client.HTTPConnection(where.web, timeout=10)
    plain.request("GET", "/v1/people?x=1")
    response = plain.getresponse()
    assert response.status == 308
    assert response.headers["Location"] == f"https://{where.web}/v1/people?x=1"
    plain.close()


def test_tls_is_current(web: Host, where: Where) -> None:
    with connection(where) as channel:
        channel.connect()
        assert isinstance(channel.sock, ssl.SSLSocket)
        assert channel.sock.version() == "TLSv1.3"
    old = web.run("openssl s_client -connect 127.0.0.1:443 -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null")
    assert old.rc != 0


def test_the_service_answers_through_it(where: Where) -> None:
    assert answer(where, "/readyz")[0] == 200


def test_nobody_gets_in_without_a_key_of_which_the_host_has_but_the_hash(web: Host, where: Where) -> None:
    status, kind, body = answer(where, "/v1/me")
    assert (status, kind, json.loads(body)["code"]) == (401, "application/problem+json", "key-missing")
    key = key_text(where.key)
    status, _, body = answer(where, "/v1/me", key)
    assert (status, json.loads(body)["role"], json.loads(body)["open"]) == (200, "admin", False)
    assert (
        web.run(
            "grep --recursive --quiet --fixed-strings -- %s /etc/face /opt/face", key.removeprefix("face_admin_")
        ).rc
        == 1
    )
    assert key_hash(where.key) in web.file("/etc/face/web.env").content_string


def test_secret_settings_have_arrived(web: Host, where: Where) -> None:
    status, _, body = answer(where, "/v1/webhooks", key_text(where.key))
    assert (status, [told["webhook"] for told in json.loads(body)["webhooks"]]) == (200, ["tests"])
    assert web.run("journalctl --no-pager --quiet --grep %s", where.webhook_secret).stdout == ""


def announced(where: Where, path: str) -> tuple[int, str, str]:
    """Status, content type and code of the answer to a POST that is said to be large, and of which no byte has come."""
    with connection(where) as channel:
        channel.putrequest("POST", path)
        channel.putheader("Content-Type", "application/zip")
        channel.putheader("Content-Length", str(_TOO_LARGE))
        channel.endheaders()
        response = channel.getresponse()
        return response.status, response.headers.get_content_type(), json.loads(response.read())["code"]


def test_a_body_that_nginx_refuses_is_a_problem_with_a_code(where: Where) -> None:
    assert announced(where, "/v1/identifications") == (413, "application/problem+json", "body-too-large")


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/imports", "/v1/gallery/imports"])
def test_a_large_body_is_refused_before_it_has_come(where: Where, path: str) -> None:
    assert announced(where, path) == (401, "application/problem+json", "key-invalid")


def test_a_large_body_reaches_the_service_of_whoever_has_a_key(where: Where) -> None:
    headers = {"Authorization": f"Bearer {key_text(where.key)}", "Content-Type": "application/zip"}
    with connection(where) as channel:
        channel.request("POST", "/v1/batches", bytes(_TOO_LARGE), headers)
        response = channel.getresponse()
        assert (response.status, json.loads(response.read())["code"]) == (422, "archive-invalid")


def test_metrics_are_not_public(where: Where) -> None:
    status, kind, body = answer(where, "/metrics")
    assert (status, kind) == (404, "application/problem+json")
    assert json.loads(body)["code"] == "not-found"


def test_the_log_names_nobody(web: Host, where: Where) -> None:
    answer(where, "/v1/people/Grace%20Hopper?token=hidden")
    answer(where, "/metrics?token=hidden")
    logged = web.check_output("journalctl --identifier=nginx --since=-1min --output=cat --no-pager")
    assert '"path":"/v1/people/-"' in logged
    assert "Hopper" not in logged
    assert "hidden" not in logged


def test_a_service_that_is_down_is_a_problem_with_a_code(web: Host, where: Where) -> None:
    web.check_output("systemctl stop %s.socket %s.service", UNIT, UNIT)
    try:
        status, kind, body = answer(where, "/v1/people")
    finally:
        web.check_output("systemctl start %s.socket %s.service", UNIT, UNIT)
    assert (status, kind) == (502, "application/problem+json")
    assert json.loads(body)["code"] == "service-unreachable"


def test_a_restart_refuses_nobody(web: Host, where: Where) -> None:
    web.check_output("systemctl restart --no-block %s", UNIT)
    assert {answer(where, "/healthz")[0] for _ in range(40)} == {200}
    assert eventually(lambda: web.service(UNIT).is_running, 60)


@pytest.mark.timeout(300)
def test_it_is_started_again_when_it_dies_or_hangs(web: Host, where: Where) -> None:
    for signal, seconds in (("KILL", 30.0), ("STOP", _WATCHDOG_SECONDS)):
        pid = main_pid(web, UNIT)
        web.check_output("kill -%s %s", signal, str(pid))
        assert comes_back(web, UNIT, pid, seconds), signal
        assert eventually(lambda: is_ready(where), 30)


def test_its_memory_is_limited(web: Host) -> None:
    web.check_output("systemctl set-property --runtime %s.service MemoryMax=512M", UNIT)
    try:
        pid = main_pid(web, UNIT)
        assert fill_memory(web, UNIT, main_dies=False) == 137
        assert main_pid(web, UNIT) == pid
        fill_memory(web, UNIT, main_dies=True)
        assert comes_back(web, UNIT, pid, 60)
    finally:
        web.check_output("systemctl revert %s.service", UNIT)
