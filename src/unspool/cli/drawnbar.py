"""A bar as it is drawn, by rich."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from unspool.cli.bar import Bar


class DrawnBar(Progress):
    """Draws what a bar was told last, five times a second, in a thread of rich's."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._beginnings = bar.beginnings
        self._task: TaskID | None = None
        super().__init__(*_columns(bar), console=Console(stderr=True), transient=True, refresh_per_second=5)
        self._task = self.add_task(bar.name, total=bar.total, completed=bar.completed, files=bar.files)

    def get_renderables(self) -> Iterable[RenderableType]:
        """See rich, which asks before there is a task too."""
        bar = self._bar
        if self._task is not None:
            if bar.beginnings != self._beginnings:
                self._beginnings = bar.beginnings
                self.reset(self._task, total=bar.total, completed=bar.completed)  # draws at once, and comes by here again
            self.update(self._task, total=bar.total, completed=bar.completed, files=bar.files)
        return super().get_renderables()


def _columns(bar: Bar) -> Iterable[ProgressColumn]:
    yield TextColumn("{task.description}", markup=False)
    yield BarColumn()
    if bar.counts_files:
        yield TextColumn("{task.fields[files]}", markup=False)
    yield DownloadColumn(binary_units=True)
    yield TransferSpeedColumn()
    if not bar.counts_files:
        yield TimeRemainingColumn()
