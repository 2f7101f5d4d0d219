"""A bar that shows how far a command has come, how fast it goes and when it will be over."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Bar:
    """See Gauge."""

    def __init__(self, console: Console, what: str, total: int | None, *, over: bool) -> None:
        """`over`: answers go to the same terminal, and are to appear above the bar."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            redirect_stdout=over and sys.stdout.isatty(),
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, note="")

    def update(self, finished: int, total: int | None = None, note: str = "") -> None:
        """See Gauge."""
        self._progress.update(self._task, completed=finished, total=total, note=note)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")
