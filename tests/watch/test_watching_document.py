"""docs/watching.md says what the page shows."""

from __future__ import annotations

import logging
import re

import pytest

from house.documents import read, section, table_after
from unspool.client.events import (
    Advanced,
    AttemptBegan,
    FileFailed,
    Repairing,
    Restarting,
    Retrying,
    Started,
    TransferBegan,
    TransferEnded,
)
from unspool.errors import StalledError
from unspool.options import LimitOptions
from unspool.watch.clientlog import ClientLog
from unspool.watch.clientmetrics import CLIENT
from unspool.watch.families import Described
from unspool.watch.metrics import ALWAYS, SERVER


@pytest.mark.parametrize(("heading", "metrics"), [("## Metrics", SERVER), ("## Metrics of clients", CLIENT)])
def test_the_metrics_of_the_reference_are_these(heading: str, metrics: tuple[Described, ...]) -> None:
    """The tables have exactly the metrics of a server and of a client, with their kinds, labels and meanings."""
    rows = table_after(section(read("docs/watching.md"), heading), "| metric |")
    shown = [(one.name, one.kind, ", ".join(f"`{label}`" for label in one.labels).strip("`"), one.help) for one in metrics]
    assert [tuple(row) for row in rows] == shown


def test_the_events_of_the_log_are_in_the_reference(caplog: pytest.LogCaptureFixture) -> None:
    """The table of a client's log has exactly the events that are logged, each with its fields."""
    log, error = ClientLog(), StalledError("a")
    with caplog.at_level(logging.INFO, "unspool.client"):
        for event in (
            TransferBegan("get", "a", "t"),
            AttemptBegan(1, "a:1", "t"),
            Started("a", 1, 0, "t"),
            Retrying(error, 1, 0.5, "t"),
            Restarting(error, 0.5, "t"),
            Repairing(1, "t"),
            FileFailed("a", error, "t"),
            TransferEnded("get", "a", "OK", "", None, 1, 1, 0.5, "t"),
            Advanced(1, "t"),
        ):
            log.notify(event)
    logged = [list(record.fields.values())[:1] + list(record.fields)[3:] for record in caplog.records]  # type: ignore[attr-defined]
    rows = table_after(section(read("docs/watching.md"), "## Following one download"), "| event |")
    assert [[kind, *re.findall(r"\w+", fields)] for kind, fields, _ in rows] == logged


def test_every_limit_that_is_named_is_an_option() -> None:
    """The limits that the page shows are fields of `LimitOptions`, and two more; the document names each."""
    limits = {key[1] for key in ALWAYS if key[0] == "unspool_limits_hit_total"}
    assert all(hasattr(LimitOptions(), limit) for limit in limits - {"waiting", "descriptors"})
    text = section(read("docs/watching.md"), "## Metrics")
    assert all(f"`{limit}`" in text for limit in limits)
