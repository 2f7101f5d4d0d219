"""What holds for the whole source tree."""

import ast
import time
import tomllib
from pathlib import Path

import pytest

from face_app.settings import WorkerSettings
from face_common.contract import Code
from face_common.loops import Loop
from face_web.problems import STATUS
from face_web.settings import WebSettings
from tests.unit.test_worker import eventually

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(file for folder in ("services", "local", "bench", "scripts") for file in (ROOT / folder).rglob("*.py"))


def test_the_four_distributions_have_one_version() -> None:
    projects = [tomllib.loads(file.read_text())["project"] for file in (ROOT / "services").glob("*/pyproject.toml")]
    assert len(projects) == 4
    assert len({project["version"] for project in projects}) == 1
    pins = [line for project in projects for line in project["dependencies"] if line.startswith("elastic-face-")]
    assert all(pin.endswith(f"=={projects[0]['version']}") for pin in pins)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_function_outgrows_a_screen(file: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 40] == []


def test_every_code_has_a_status_and_a_page() -> None:
    assert set(STATUS) == set(Code)
    page = (ROOT / "docs" / "errors.md").read_text()
    assert [code.value for code in Code if f"### {code.value}\n" not in page] == []


@pytest.mark.parametrize("settings", [WebSettings, WorkerSettings])
def test_every_setting_is_documented(settings: type[WebSettings | WorkerSettings]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    missing = [name for name in settings.model_fields if f"`FACE_{name.upper()}`" not in page]
    assert missing == []
    assert all(field.description for field in settings.model_fields.values())


def test_a_loop_outlives_the_faults_of_its_step() -> None:
    calls: list[int] = []

    def step() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise RuntimeError("once")

    loop = Loop("test", step, pause=0.01).start()
    eventually(lambda: len(calls) >= 3)
    assert loop.silent_seconds() < 1
    loop.stop(5)
    stopped = len(calls)
    time.sleep(0.1)
    assert len(calls) == stopped


def test_a_loop_whose_step_fails_all_the_time_is_silent_but_not_stuck() -> None:
    def step() -> None:
        raise RuntimeError("always")

    loop = Loop("test", step).start()
    time.sleep(1.5)
    loop.stop(5)
    assert loop.silent_seconds() > 1.4 > loop.stuck_seconds()
