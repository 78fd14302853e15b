"""The dashboard and the alert rules in examples/watching name what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from house.documents import REPO
from unspool.errors import UnspoolError
from unspool.rpc.status import STATUS
from unspool.watch.metrics import SERVER
from watch.pages import fetch, watched

HERE = REPO / "examples" / "watching"

KINDS = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}

SAMPLES = {f"{one.name}{ending}": one for one in SERVER for ending in KINDS[one.kind]}
"""The names that an expression may use."""

LABELS = {"job", "instance", "le"}


def dashboard() -> dict[str, object]:
    """Return the dashboard."""
    loaded: dict[str, object] = json.loads((HERE / "dashboard.json").read_text())
    return loaded


def panels() -> list[dict[str, object]]:
    """Return its panels."""
    found = dashboard()["panels"]
    assert isinstance(found, list)
    return found


def expressions() -> list[str]:
    """Return every expression of the dashboard, its variables and the alert rules."""
    said = json.dumps(dashboard())
    found = [json.loads(f'"{text}"') for text in re.findall(r'"(?:expr|definition)": "((?:[^"\\]|\\.)*)"', said)]
    rules = (HERE / "alerts.yml").read_text()
    return [*found, *re.findall(r"expr: (?:>-\n)?((?:.*\n?)(?:          .*\n)*)", rules)]


def test_every_metric_that_is_named_exists() -> None:
    """An expression names metrics of the server only, counters by rate or increase, and labels that the metric has."""
    named = set()
    for expression in expressions():
        for name, selector in re.findall(r"(unspool_\w+)(\{[^}]*\})?", expression):
            assert name in SAMPLES, expression
            named.add(SAMPLES[name].name)
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selector))
            assert labels <= {*SAMPLES[name].labels, *LABELS}, expression
            if SAMPLES[name].kind == "counter":
                assert re.search(rf"(rate|increase)\({name}", expression), expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            of = {label for name in re.findall(r"unspool_\w+", expression) for label in SAMPLES[name].labels}
            assert set(grouped.split(", ")) <= of | LABELS, expression
    assert len(expressions()) > 25
    assert {one.name for one in SERVER} == named, "and each metric is shown or watched somewhere"


def test_the_dashboard_is_one_that_loads_anywhere() -> None:
    """It has a uid and a schema, no id of one installation, a data source to choose, and panels that do not overlap."""
    board = dashboard()
    assert board["uid"] == "unspool-server"
    assert int(str(board["schemaVersion"])) >= 36
    assert "id" not in board
    text = json.dumps(board)
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"unspool-server", "${datasource}"}
    assert "$__rate_interval" in text
    assert not re.search(r"rate\([^)]*\[\d", text), "the interval follows the one of the scrape"
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert isinstance(place, dict)
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_outcomes_that_rules_name_exist() -> None:
    """A rule about an outcome is about one that a call can have."""
    reasons = {kind.reason for kind in STATUS} | {UnspoolError.reason}
    for outcomes in re.findall(r'outcome=~?"([^"]*)"', " ".join(expressions())):
        assert set(outcomes.split("|")) <= reasons


def promtool(*arguments: str | Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    return subprocess.run([program, *map(str, arguments)], input=said, capture_output=True, text=True, check=False, timeout=60)


def test_promtool_takes_the_rules() -> None:
    """Prometheus's own tool finds no fault with the rules."""
    done = promtool("check", "rules", HERE / "alerts.yml")
    assert done.returncode == 0, done.stderr
    assert "9 rules found" in done.stdout


def test_promtool_takes_the_page(tmp_path: Path) -> None:
    """Prometheus's own tool finds no fault with what a server shows, but for names that it would choose otherwise."""
    root = tmp_path / "root"
    root.mkdir()
    with watched(root, tmp_path / "log") as page:
        done = promtool("check", "metrics", said=fetch(page.url))
    assert done.returncode == 0, done.stderr + done.stdout
    assert not done.stderr
