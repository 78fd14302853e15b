"""Times the operations of stores and ingesters."""

from __future__ import annotations

from time import perf_counter

from unspool.watch.figures import Figures


class Timed:
    """Counts the seconds of one operation in a histogram, also if it ends with an error.

    It is no generator, which would take longer for each request.
    """

    __slots__ = ("_began", "_figures", "_operation")

    def __init__(self, figures: Figures, operation: str) -> None:
        self._figures = figures
        self._operation = operation

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._figures.observe(perf_counter() - self._began, "unspool_store_seconds", self._operation)
