"""Writes terraform/README.md from terraform/*.tf; with --check it only says whether the file is true (status 1: no)."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2

FOLDER = Path(__file__).resolve().parent.parent / "terraform"
_INTRODUCTION = """\
<!-- Written by scripts/terraform_docs.py: change the .tf files and run `make terraform-docs`. -->
# The cloud
Everything that a deployment needs in AWS. `make deploy` applies it: [how, and what it costs](../docs/deployment.md).
"""


def main() -> int:
    """Write the file, or check it."""
    target, text = FOLDER / "README.md", "".join(readme())
    if "--check" in sys.argv:
        current = target.exists() and target.read_text() == text
        print("terraform/README.md is true" if current else "terraform/README.md is stale: make terraform-docs")
        return 0 if current else 1
    target.write_text(text)
    return 0


def readme() -> Iterator[str]:
    """The file, piece by piece."""
    modules = {file: hcl2.loads(file.read_text()) for file in sorted(FOLDER.glob("*.tf"))}
    yield _INTRODUCTION
    yield "\n## Variables\n| variable | type | default | what |\n| --- | --- | --- | --- |\n"
    for name, body in _blocks(modules, "variable"):
        yield f"| `{name}` | {_type(body['type'])} | {_default(body)} | {_cell(body['description'])} |\n"
    yield "\n## Outputs\n| output | what |\n| --- | --- |\n"
    for name, body in _blocks(modules, "output"):
        yield f"| `{name}` | {_cell(body['description'])} |\n"
    yield "\n## Resources\n| file | resources |\n| --- | --- |\n"
    for file, module in modules.items():
        kinds = [_bare(kind) for entry in module.get("resource", ()) for kind in entry]
        if kinds:
            yield f"| [{file.name}]({file.name}) | {', '.join(f'`{kind}`' for kind in dict.fromkeys(kinds))} |\n"


def _blocks(modules: dict[Path, dict[str, Any]], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    entries = [item for module in modules.values() for entry in module.get(kind, ()) for item in entry.items()]
    for name, body in sorted(entries):
        yield _bare(name), body


def _type(written: str) -> str:
    """A type on one line, each attribute with its default."""
    text = written.removeprefix("${").removesuffix("}") if written.startswith("${") else written
    return f"`{_cell(text)}`"


def _default(body: dict[str, Any]) -> str:
    if "default" not in body:
        return "required"
    # python-hcl2 leaves a string's quotes in place: they are quoted once more by dumps.
    return "`" + json.dumps(body["default"]).replace('"\\"', '"').replace('\\""', '"') + "`"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", _bare(text)).replace("|", "\\|").replace("<", "&lt;")


def _bare(text: str) -> str:
    return text.strip('"')


if __name__ == "__main__":
    sys.exit(main())
