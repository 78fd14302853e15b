"""The benchmark harness, as far as it can be wrong without anybody noticing: turns, medians, definitions, what is missing."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench import report, servers
from bench.cases import CASES
from bench.cases.listing import grow
from bench.cases.long import chance_per_mib, mean_mib
from bench.cases.resume import recheck_speed
from bench.cases.sizes import sizes_up_to
from bench.cases.threads import limit
from bench.cases.tree import PER_DIRECTORY, make_tree
from bench.measure import CommandFailedError, Process, Sample, measure, measure_output, running
from bench.peer import Peer
from bench.readers import Middle
from bench.results import Results, in_turns, present
from hypothesis import given
from hypothesis import strategies as st

from house.documents import REPO, read


def sample(seconds: float, amount: float = 1e6) -> Sample:
    """A sample that took so long."""
    return Sample(seconds, client_cpu=0.5, server_cpu=0.25, client_rss=3 << 20, server_rss=2 << 20, amount=amount)


def peer(name: str, *needs: str) -> Peer:
    """A peer with needs."""
    return Peer(name, needs, servers.local, lambda *_: [])


# Turns


def test_everything_runs_in_turns_and_the_first_round_does_not_count() -> None:
    """A B A B A B, and the first of each is left out."""
    order: list[str] = []

    def run(name: str) -> Sample:
        order.append(name)
        return sample(len(order))

    results = Results()
    in_turns({"a": lambda: run("a"), "b": lambda: run("b")}, 2, results, 7)
    assert order == ["a", "b"] * 3
    assert [one.seconds for one in results.of("a", 7)] == [3, 5]
    assert [one.seconds for one in results.of("b", 7)] == [4, 6]
    in_turns({"a": lambda: run("a")}, 1, results, 8, warm_up=False)
    assert len(results.of("a", 8)) == 1


def test_what_fails_is_said_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """One that fails is reported as failed, not skipped without a word, and the others go on."""

    def fail() -> Sample:
        raise CommandFailedError("it broke")

    results = Results()
    in_turns({"a": fail, "b": lambda: sample(1)}, 3, results)
    assert len(results.of("b", 0)) == 3
    assert "a: it broke" in capsys.readouterr().err
    assert "| a | failed |" in report.table(results, [report.SECONDS])


def test_a_peer_that_is_missing_is_in_the_table() -> None:
    """A peer that is not installed stands in the table with what it lacks, in its place."""
    results = Results()
    peers = [peer("a"), peer("b", "no-such-program"), peer("c", ".no_such_module"), peer("d", "unspool get --no-such-option")]
    there = present([*peers, peer("e", "unspool get --quiet", "sh", ".json")], results)
    assert [one.name for one in there] == ["a", "e"]
    in_turns({one.name: lambda: sample(1) for one in there}, 1, results)
    lines = report.table(results, [report.SECONDS, report.PEAK]).splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| a", "1.000 (1.000 to 1.000)"],
        ["| b", "missing: no-such-program"],
        ["| c", "missing: no_such_module"],
        ["| d", "missing: unspool get --no-such-option"],
        ["| e", "1.000 (1.000 to 1.000)"],
    ]


# Figures


def test_the_table_has_medians_spreads_and_ratios_at_the_same_x() -> None:
    """Each row has the median, the least and the most; a ratio is of medians, to the reference at the same x."""
    results = Results()
    results.samples = {
        "a": {1: [sample(1), sample(4), sample(2)], 2: [sample(0.01)]},
        "b": {1: [sample(8)], 2: [sample(0.02)]},
    }
    columns = [report.SECONDS, report.MEGABYTES, report.ratio_to("a"), report.CPU, report.PEAK]
    assert report.table(results, columns, "a", "files").splitlines() == [
        f"| files |  | {' | '.join(column.title for column in columns)} |",
        "|---|---|---|---|---|---|---|",
        "| 1 | a | 2.000 (1.000 to 4.000) | 0.50 (0.25 to 1.00) | 1.00 | 0.50 + 0.25 = 0.75 | 3, 2 |",
        "| 1 | b | 8.000 (8.000 to 8.000) | 0.12 (0.12 to 0.12) | 0.25 | 0.50 + 0.25 = 0.75 | 3, 2 |",
        "| 2 | a | 0.010 (0.010 to 0.010) | 100 (100 to 100) | 1.00 | 0.50 + 0.25 = 0.75 | 3, 2 |",
        "| 2 | b | 0.020 (0.020 to 0.020) | 50 (50 to 50) | 0.50 | 0.50 + 0.25 = 0.75 | 3, 2 |",
    ]


def test_processor_time_per_gib_is_in_proportion() -> None:
    """What half a GiB took counts twice."""
    cell = report.CPU_PER_GIB.cell([sample(1, amount=report.GIB / 2)], [])
    assert cell == "1.00 + 0.50 = 1.50"


def test_samples_are_kept_as_they_are(tmp_path: Path) -> None:
    """Saved samples hold every figure, and say of which machine."""
    results = Results({"a": {4096: [sample(1)]}}, {"b": "missing: b"})
    report.save(tmp_path / "sub" / "out.json", results)
    kept = json.loads((tmp_path / "sub" / "out.json").read_text())
    assert kept["samples"]["a"]["4096"][0]["seconds"] == 1
    assert kept["why_not"] == {"b": "missing: b"}
    assert "cores" in kept["machine"]


# Definitions


@given(st.floats(0.01, 99), st.floats(0.1, 1000))
def test_the_chance_of_a_cut_is_what_is_said(percent: float, mib: float) -> None:
    """Surviving so many MiB, one after the other, is as probable as was asked for; the mean is that of an exponential."""
    chance = chance_per_mib(percent, mib)
    assert math.isclose((1 - chance) ** mib, 1 - percent / 100, rel_tol=1e-6)
    assert math.isclose(math.exp(-mib / mean_mib(chance)), 1 - percent / 100, rel_tol=1e-6)


@given(st.lists(st.integers(1, 1000), min_size=20, max_size=200))
def test_the_middle_of_a_read_is_half_of_it(pieces: list[int]) -> None:
    """What is counted lies between 25 % and 75 % of the bytes, to within one piece at either end."""
    middle = Middle(sum(pieces))
    for piece in pieces:
        middle.take(piece)
    if max(pieces) * 2 < sum(pieces) // 4:
        measured = middle.measured()
        assert abs(measured["bytes"] - sum(pieces) / 2) <= max(pieces) + 1
        assert measured["seconds"] > 0


def test_a_read_in_too_few_pieces_has_no_middle() -> None:
    """A file that comes in one piece is an error, not a figure."""
    middle = Middle(1000)
    middle.take(1000)
    with pytest.raises(ValueError, match="too few messages"):
        middle.measured()


def test_the_speed_of_a_re_check_is_that_between_its_events() -> None:
    """Eight segments of 10 bytes: seven events, six segments between the first and the last; a single event gives no speed."""
    seen = {"good": 80, "first_left": 7, "last_left": 1, "first_check": 5.0, "last_check": 8.0}
    assert recheck_speed(seen) == 60 / 3
    assert recheck_speed({**seen, "last_left": 7, "last_check": 5.0}) is None


def test_sizes_grow_fourfold_up_to_the_largest() -> None:
    """From 4 KiB by four, the largest included."""
    assert sizes_up_to(65536) == [4096, 16384, 65536]
    assert sizes_up_to(65535) == [4096, 16384]


# What is made and measured


def test_trees_and_directories_are_made_as_said(tmp_path: Path) -> None:
    """A tree has as many files as said, of that size; a directory grows to what is wanted and keeps what it has."""
    make_tree(tmp_path / "tree", PER_DIRECTORY + 1, 10)
    files = list((tmp_path / "tree").rglob("*.bin"))
    assert len(files) == PER_DIRECTORY + 1
    assert {path.stat().st_size for path in files} == {10}
    assert len(list((tmp_path / "tree").iterdir())) == 2
    grow(tmp_path / "flat", 3)
    first = (tmp_path / "flat" / "0000000").stat().st_ino
    grow(tmp_path / "flat", 5)
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == [f"{number:07}" for number in range(5)]
    assert (tmp_path / "flat" / "0000000").stat().st_ino == first


def test_a_process_is_measured() -> None:
    """Wall clock, processor time, memory and output of a process are its own; a failure is not a sample."""
    program = "import time\nend = time.process_time() + 0.1\nb = bytearray(100 << 20)\nwhile time.process_time() < end: pass\n"
    one, said = measure_output([sys.executable, "-c", program + "print('a\\nb')"], Process(0))
    assert one.client_cpu >= 0.1
    assert one.seconds >= 0.1
    assert one.client_rss >= 100 << 20
    assert (said.lines, said.last) == (2, "a\nb\n")
    assert said.first is not None
    assert 0.1 <= said.first <= one.seconds
    with pytest.raises(CommandFailedError, match=r"exit 3: no\n"):
        measure([sys.executable, "-c", "import sys; print('no', file=sys.stderr); sys.exit(3)"], None)


def test_what_ended_children_used_counts() -> None:
    """A server that forks for each client is charged with what those used, after they have ended too."""
    busy = "import time\nwhile time.process_time() < 0.25: pass"
    program = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {busy!r}]); print('ready'); time.sleep(60)"
    with running([sys.executable, "-uc", program], "ready") as (process, _):
        assert process.cpu() >= 0.2  # of 0.25: Linux cuts four counters to whole ticks


def test_every_case_is_in_the_help_and_the_document() -> None:
    """Each case is a command with a line of help, and docs/benchmarks.md shows how to run it; it shows no other."""
    done = subprocess.run([sys.executable, "-m", "bench", "--help"], cwd=REPO, capture_output=True, text=True, check=True)
    for case in CASES.values():
        assert case.help in re.sub(r"\s+", " ", done.stdout)
    named = set(re.findall(r"python -m bench (\w+)", read("docs/benchmarks.md")))
    assert named == set(CASES) - {"first"}


def test_the_busiest_thread_is_the_limit() -> None:
    """With a core for each thread the busiest one decides; gRPC's threads divide their work by connections."""
    per_gib = {"loop": 0.5, "writer": 0.25, "grpc": 1.0}
    assert limit(per_gib, 1) == pytest.approx(1073.74, abs=0.01)
    assert limit(per_gib, 2) == limit(per_gib, 8) == pytest.approx(2147.48, abs=0.01)
    assert limit(per_gib | {"writer": 1.0}, 8) == pytest.approx(1073.74, abs=0.01)
