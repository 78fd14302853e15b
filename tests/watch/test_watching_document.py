"""docs/watching.md says what the page shows."""

from __future__ import annotations

from house.documents import read, section, table_after
from unspool.options import LimitOptions
from unspool.watch.metrics import ALWAYS, SERVER


def test_the_metrics_of_the_reference_are_the_servers() -> None:
    """The table has exactly the metrics of a server, with their kinds, labels and meanings."""
    rows = table_after(section(read("docs/watching.md"), "## Metrics"), "| metric |")
    shown = [(one.name, one.kind, ", ".join(f"`{label}`" for label in one.labels).strip("`"), one.help) for one in SERVER]
    assert [tuple(row) for row in rows] == shown


def test_every_limit_that_is_named_is_an_option() -> None:
    """The limits that the page shows are fields of `LimitOptions`, and descriptors; the document names each."""
    limits = {key[1] for key in ALWAYS if key[0] == "unspool_limits_hit_total"}
    assert all(hasattr(LimitOptions(), limit) for limit in limits - {"descriptors"})
    text = section(read("docs/watching.md"), "## Metrics")
    assert all(f"`{limit}`" in text for limit in limits)
