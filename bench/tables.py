"""Results as tables for people and as JSON for programs."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

OUT = Path(__file__).resolve().parent / "out"

_NUMBER = re.compile(r"-|-?[\d.,]+(e-?\d+)?")

Row = dict[str, str | int | float | None]


def report(name: str, title: str, rows: Sequence[Row]) -> None:
    """Print the rows and write them to bench/out/<name>.json.

    Rows that have a `table` are printed under that heading with their like, the others together.
    """
    write(name, rows)
    show(title, rows)


def write(name: str, rows: Sequence[Row]) -> None:
    """To bench/out/<name>.json, one object a row of the printed tables."""
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the rows' tables."""
    print(f"\n{title}")
    for heading, lines in by_table(rows):
        if heading:
            print(f"\n  {heading}")
        cells = text_cells(lines)
        columns = [_aligned(column) for column in zip(*cells, strict=True)]
        for line in zip(*columns, strict=True):
            print(f"  {'  '.join(line)}".rstrip())


def by_table(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows by what they have as `table` ('' for none), without it; in the order of their first rows."""
    tables: dict[str, list[Row]] = {}
    for row in rows:
        rest = {column: value for column, value in row.items() if column != "table"}
        tables.setdefault(str(row.get("table", "")), []).append(rest)
    return list(tables.items())


def text_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The header and the rows as text; a column that a row lacks is a dash."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return [columns, *([_text(row.get(column)) for column in columns] for row in rows)]


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column's cells, without its header, are numbers as text_cells writes them."""
    return all(_NUMBER.fullmatch(cell) for cell in cells)


def _aligned(column: Sequence[str]) -> list[str]:
    """Padded to one width; numbers stand to the right."""
    width = max(len(cell) for cell in column)
    return [cell.rjust(width) if are_numbers(column[1:]) else cell.ljust(width) for cell in column]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)]


def _text(value: str | float | None) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    if 0 < size < 0.0005:
        return f"{value:.1e}"
    return f"{value:.3f}" if size < 2 else f"{value:.2f}" if size < 100 else f"{value:.1f}"
