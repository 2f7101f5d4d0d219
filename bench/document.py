"""`python -m bench.document`: puts the last run's tables into docs/performance.md, so that nobody types a figure.

The page keeps a place for each part, from `<!-- bench: pipeline -->` to `<!-- end -->`. A part that has not been
measured keeps what it has.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.tables import OUT, Row, are_numbers, by_table, text_cells
from local.stack import ROOT

PAGE = ROOT / "docs" / "performance.md"
_PLACE = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Write the page anew."""
    PAGE.write_text(filled(PAGE.read_text("utf-8"), OUT), "utf-8")
    return 0


def filled(page: str, results: Path) -> str:
    """The page with the tables of the result files in this folder."""

    def fill(place: re.Match[str]) -> str:
        file = results / f"{place[2]}.json"
        return place[1] + markdown(json.loads(file.read_text())) + place[3] if file.exists() else place[0]

    return _PLACE.sub(fill, page)


def markdown(rows: Sequence[Row]) -> str:
    """The rows' tables, each under its heading."""
    parts = []
    for heading, lines in by_table(rows):
        if heading:
            parts.append(f"**{heading}**\n")
        header, *cells = text_cells(lines)
        sides = ["---:" if are_numbers(column) else "---" for column in zip(*cells, strict=True)]
        parts += [_line(line) for line in (header, sides, *cells)] + [""]
    return "\n".join(parts[:-1]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
