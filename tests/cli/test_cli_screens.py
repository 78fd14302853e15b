"""The bar as it looks on the screen of a real terminal, 40, 80 and 200 columns wide, with a real server and a real shell.

Screens are compared with `9` in place of every digit and an empty bar, because the length of a stall depends on the machine.
The number of digits and all positions are compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from cli.screen import PROMPT, Screen, needs_tmux, screen
from gate import Gate
from processes import Serving, eventually, free_port, serving, size_of

pytestmark = needs_tmux

MIB = 1 << 20

LONG = "models/" + "x" * 89 + ".bin"
WIDE = "模型" * 30 + "x" * 36 + ".bin"
"""Names of 100 characters."""

SIZE = 48 * MIB

CAPPED = ("--max-stream-bandwidth", str(8 * MIB))
"""A server that takes six seconds to send a file."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The served files: two with long names, and a tree of 40 files, each large enough for a download of its own."""
    root = tmp_path_factory.mktemp("screens") / "root"
    data = Random(1).randbytes(SIZE)
    for name in (LONG, WIDE):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "tree").mkdir()
    for number in range(40):
        (root / "tree" / f"{number:02}").write_bytes(data[: 2 * MIB])
    return root


@pytest.fixture
def server(root: Path, tmp_path: Path) -> Iterator[Serving]:
    """A server of these files."""
    with serving(root, tmp_path / "log") as server:
        yield server


@contextmanager
def screens(directory: Path, widths: Iterable[int]) -> Iterator[list[Screen]]:
    """Open several terminals, each with a shell in a directory of its own."""
    with ExitStack() as stack:
        every = []
        for number, columns in enumerate(widths):
            own = directory / f"screen{number}"
            own.mkdir()
            every.append(stack.enter_context(screen(own, columns)))
        yield every


def masked(lines: list[str]) -> list[str]:
    """Return lines with every digit replaced by `9`, and empty bars."""
    alike = [re.sub(r"\d", "9", line) for line in lines]
    return [re.sub(r"\[[=> ]+\]", lambda bar: f"[{' ' * (len(bar[0]) - 2)}]", line) for line in alike]


def until_bar(one: Screen, expected: str) -> None:
    """Wait until the last line of a screen, masked, is what is expected."""
    one.until(lambda lines: masked(lines[-1:]) == [expected])


def bar(columns: int) -> str:
    """Return an empty bar of this width."""
    return f"[{' ' * (columns - 2)}]"


STALLED = {
    (40, LONG): "mod...in 99.9/99.9 MiB  stalled for 9 s",
    (40, WIDE): "模...in 99.9/99.9 MiB  stalled for 9 s",
    (80, LONG): f"models/xxxxxxxxx...xxxxxxxxxxxx.bin {bar(12)} 99.9/99.9 MiB  stalled for 9 s",
    (80, WIDE): f"模型模型模型模型...xxxxxxxxxxxx.bin {bar(12)} 99.9/99.9 MiB  stalled for 9 s",
    (200, LONG): f"{LONG} {bar(42)} 99.9/99.9 MiB  stalled for 9 s",
    (200, WIDE): f"{'模型' * 19}...{'模型' * 9}{'x' * 36}.bin {bar(12)} 99.9/99.9 MiB  stalled for 9 s",
}


def test_a_stall_is_said_at_any_width_and_then_a_rate_again(root: Path, tmp_path: Path) -> None:
    """During a stall the line shows for how long, without rate and time left; soon after bytes arrive, both are back."""
    with (
        serving(root, tmp_path / "log", *CAPPED) as server,
        screens(tmp_path, (columns for columns, _ in STALLED)) as every,
        ExitStack() as stack,
    ):
        gates = [stack.enter_context(Gate(server.address, 12 * MIB)) for _ in every]
        for one, gate, (_, name) in zip(every, gates, STALLED, strict=True):
            one.run("unspool", "get", "-j", "1", f"{gate.address}/{name}", "out")
        for one, expected in zip(every, STALLED.values(), strict=True):
            until_bar(one, expected)
        for one, gate in zip(every, gates, strict=True):
            gate.open()
            one.until(lambda lines: re.search(r"MiB/s +\d:\d\d( left)?$", lines[-1]), seconds=2)


RUNNING = {
    40: "mode...bin 99.9/99.9 MiB 9.9 MiB/s 9:99",
    80: f"models/xxx...xxxxxx.bin {bar(12)} 99.9/99.9 MiB     9.9 MiB/s      9:99 left",
    200: f"{LONG} {bar(42)} 99.9/99.9 MiB     9.9 MiB/s      9:99 left",
}

GONE = {
    40: "99.9/99.9 MiB server gone, retry in 9 s",
    80: f"models/x...xxx.bin {bar(12)} 99.9/99.9 MiB  server gone, trying again in 9 s",
    200: f"{LONG} {bar(42)} 99.9/99.9 MiB  server gone, trying again in 9 s",
}


def test_a_rate_is_shown_and_a_gone_server_and_the_rate_again(root: Path, tmp_path: Path) -> None:
    """While bytes arrive, rate and time left are shown; while the server is gone, the time of the next attempt."""
    with free_port() as port:
        address = f"127.0.0.1:{port}"
    with screens(tmp_path, RUNNING) as every:
        with serving(root, tmp_path / "log", *CAPPED, listen=address) as server:
            for one in every:
                one.run("unspool", "get", "-j", "1", f"{address}/{LONG}", "out")
            for one in every:
                until_bar(one, RUNNING[one.columns])
            server.process.kill()
            for one in every:
                until_bar(one, GONE[one.columns])
        with serving(root, tmp_path / "log", *CAPPED, listen=address) as server:
            for one in every:
                until_bar(one, RUNNING[one.columns])
            server.process.kill()  # it would wait for them


TREE = {
    40: "99/99 99.9/99.9 MiB stalled for 9 s",
    80: f"999.9.9.9:99999/tree {bar(14)} 99/99 files  99.9/99.9 MiB  stalled for 9 s",
    200: f"999.9.9.9:99999/tree {bar(42)} 99/99 files  99.9/99.9 MiB  stalled for 9 s",
}


def test_a_trees_totals_are_shown_while_files_are_missing(server: Serving, tmp_path: Path) -> None:
    """A tree whose listing is complete shows the totals of files and bytes, long before they have arrived."""
    with screens(tmp_path, TREE) as every, ExitStack() as stack:
        gates = [stack.enter_context(Gate(server.address, 30 * MIB)) for _ in every]
        for one, gate in zip(every, gates, strict=True):
            one.run("unspool", "get", "-r", f"{gate.address}/tree", "out")
        for one in every:
            (line,) = one.until(lambda lines: "stalled for" in lines[-1])
            assert masked([line]) == [TREE[one.columns]]
            assert "/40 " in line
            assert "/80.0 MiB" in line


def test_a_job_in_the_background_leaves_the_prompt_alone(root: Path, tmp_path: Path) -> None:
    """A job that was started with `&`, or put there with Ctrl-Z and `bg`, draws nothing; after `fg` the bar is there."""
    part = tmp_path / "out.unspool-part"

    def more_comes() -> None:
        """Wait until so many bytes have arrived that a bar would have been drawn several times."""
        enough = size_of(part) + 4 * MIB
        eventually(lambda: size_of(part) >= enough)

    with serving(root, tmp_path / "log", *CAPPED) as server, screen(tmp_path, 80) as one:
        one.type(f"clear; unspool get -j 1 {server.address}/{LONG} out &")
        one.press("Enter")
        job, _ = one.until(lambda lines: lines[0].startswith("[1]") and lines[-1] == PROMPT)
        one.type("echo typed")
        more_comes()
        assert one.lines == [job, f"{PROMPT} echo typed"]
        one.press("C-u")

        one.type("clear; fg")
        one.press("Enter")
        until_bar(one, RUNNING[80])
        one.press("C-z")
        one.until(lambda lines: lines[-1] == PROMPT)
        one.type("clear; bg")
        one.press("Enter")
        one.until(lambda lines: "out &" in "".join(lines) and lines[-1] == PROMPT)
        one.type("echo again")
        more_comes()
        assert one.last == f"{PROMPT} echo again"
        assert "MiB" not in "".join(one.lines)
        one.press("C-u")

        one.type("clear; fg")
        one.press("Enter")
        until_bar(one, RUNNING[80])
        one.press("C-c")
        shown = "".join(one.until(lambda lines: lines[-1] == PROMPT))
        assert "interrupted" in shown
        assert "MiB/s" not in shown, "the bar is erased"
