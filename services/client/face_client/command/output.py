"""What a command shows: answers on stdout, for people or as JSON; everything else on stderr.

Colours and moving bars appear on a terminal only, and colours not where NO_COLOR is set.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_STYLES = {
    "match": "green",
    "same": "green",
    "accepted": "green",
    "done": "green",
    "running": "green",
    "ambiguous": "yellow",
    "unknown": "yellow",
    "queued": "yellow",
    "booting": "yellow",
    "different": "yellow",
    "duplicate": "yellow",
    "failed": "red",
    "dead": "red",
    "redriven": "yellow",
    "answered": "green",
}
_GAP = "  "
Row = TypeVar("Row")


class Gauge(Protocol):
    """Something that shows how far a command has come."""

    def update(self, finished: int, total: int | None = None, note: str = "") -> None:
        """So many of so many are finished."""


class Output:
    """Where one command's answers go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._over_gauge: Console | None = None

    def answer(self, value: Any, text: str | Text | None = None) -> None:
        """A value as one line of JSON, or, for people, its text if there is any."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False), flush=True)
        elif text is not None:
            self.line(text)

    @staticmethod
    def marked(text: str, word: str) -> Text:
        """A line whose beginning, up to two spaces, is in the colour of a decision or a state."""
        name, gap, rest = text.partition(_GAP)
        return Text.assemble((name, _STYLES.get(word, "")), gap, rest)

    def line(self, text: str | Text) -> None:
        """A line for people."""
        (self._over_gauge or self._out).print(text if isinstance(text, Text) else Text(text), soft_wrap=True)

    def table(self, rows: Iterable[Row], columns: Mapping[str, Callable[[Row], Any]]) -> None:
        """Rows as aligned columns under headings; as JSON all of each row, a line each."""
        if self.as_json:
            for row in rows:
                self.answer(row)
            return
        cells = [[_cell(of(row)) for of in columns.values()] for row in rows]
        heading, *lines = aligned(list(columns), cells)
        if not cells:
            self.note("none")
            return
        self.line(Text(heading, style="bold"))
        for row_cells, line in zip(cells, lines, strict=True):
            self.line(coloured(line, row_cells))

    def note(self, text: str) -> None:
        """A line that is no answer: on stderr."""
        self._err.print(Text(text), soft_wrap=True)

    def error(self, text: str) -> None:
        """A line that says what went wrong: on stderr."""
        self._err.print(Text.assemble(("face: ", "red"), text), soft_wrap=True)

    @contextmanager
    def gauge(self, what: str, total: int | None = None) -> Iterator[Gauge]:
        """A bar with rate and time to go on stderr while the block runs; nothing where that is no terminal."""
        if not self._err.is_terminal or total == 1:
            yield _NoGauge()
            return
        from face_client.command.bar import Bar

        with Bar(self._err, what, total, over=self._out.is_terminal) as bar:
            self._over_gauge = self._err if self._out.is_terminal else None
            try:
                yield bar
            finally:
                self._over_gauge = None

    @property
    def on_terminal(self) -> bool:
        """Whether a person watches stdout."""
        return self._out.is_terminal

    @property
    def console(self) -> Console:
        """Stdout, for pictures that move."""
        return self._out


class _NoGauge:
    """Shows nothing."""

    def update(self, finished: int, total: int | None = None, note: str = "") -> None:
        """See Gauge."""


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Headings and rows as lines whose columns stand under each other, numbers to the right."""
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    right = [all(map(_is_number, column[1:])) for column in columns]
    return [_GAP.join(map(_padded, row, widths, right)).rstrip() for row in (headings, *rows)]


def coloured(line: str, cells: Iterable[str] = ()) -> Text:
    """A line with the words in it that mean something good or bad in their colour."""
    text = Text(line)
    for cell in cells:
        if style := _STYLES.get(cell):
            text.highlight_words([cell], style)
    return text


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).replace("-", "", 1).isdigit()
