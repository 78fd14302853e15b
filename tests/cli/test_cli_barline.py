"""The line of a bar: at most as wide as the terminal, and every figure complete or omitted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.cli.barline import bar_line, columns_of, figures_of, shortened
from unspool.cli.meter import Amounts, Files
from unspool.cli.output import printable
from unspool.cli.units import say_amount, say_duration

MIB = 1 << 20

LONG = "models/" + "x" * 89 + ".bin"
WIDE = "模型" * 48 + ".bin"
"""Names of 100 characters; most of the second name's take two columns each."""

SOME = Amounts(19 * MIB, 0, 48 * MIB)
RATE = 10.1 * MIB
STALLED = ("stalled for 12 s", "stalled for 12 s", "stalled 12 s")
GONE = ("server gone, trying again in 3 s", "server gone, retry in 3 s", "retry in 3 s")

LINES: list[tuple[int, str, float | None, tuple[str, ...], str]] = [
    (40, LONG, RATE, (), "mod...bin 19.0/48.0 MiB 10.1 MiB/s 0:03"),
    (40, WIDE, RATE, (), "模...bin 19.0/48.0 MiB 10.1 MiB/s 0:03"),
    (40, LONG, None, STALLED, "mod...in 19.0/48.0 MiB stalled for 12 s"),
    (40, LONG, None, GONE, "19.0/48.0 MiB server gone, retry in 3 s"),
    (80, LONG, RATE, (), "models/xxx...xxxxxx.bin [===>      ] 19.0/48.0 MiB    10.1 MiB/s      0:03 left"),
    (80, WIDE, RATE, (), "模型模型模...型模型.bin [===>      ] 19.0/48.0 MiB    10.1 MiB/s      0:03 left"),
    (80, LONG, None, STALLED, "models/xxxxxxxxx...xxxxxxxxxxx.bin [===>      ] 19.0/48.0 MiB  stalled for 12 s"),
    (80, LONG, None, GONE, "models/x...xxx.bin [===>      ] 19.0/48.0 MiB  server gone, trying again in 3 s"),
    (80, "a.bin", RATE, (), "a.bin [===========>                ] 19.0/48.0 MiB    10.1 MiB/s      0:03 left"),
    (200, LONG, RATE, (), f"{LONG} [===============>{' ' * 24}] 19.0/48.0 MiB    10.1 MiB/s      0:03 left"),
    (200, LONG, None, GONE, f"{LONG} [===============>{' ' * 24}] 19.0/48.0 MiB  server gone, trying again in 3 s"),
]


@pytest.mark.parametrize(("columns", "name", "rate", "status", "line"), LINES)
def test_a_long_name_is_shortened_and_figures_are_not(
    columns: int, name: str, rate: float | None, status: tuple[str, ...], line: str
) -> None:
    """At 40, 80 and 200 columns a name of 100 characters is shortened for the bytes, the rate and the time left."""
    assert bar_line(name, SOME, rate, status, columns) == line


@pytest.mark.parametrize(
    ("columns", "files", "total", "line"),
    [
        (40, Files(12, 40, listed_all=True), 48 * MIB, "12/40 19.0/48.0 MiB 10.1 MiB/s 0:03"),
        (40, Files(2500, 2506, listed_all=True), 48 * MIB, "2500/2506 19.0/48.0 MiB 10.1 MiB/s 0:03"),
        (40, Files(12, 2000, listed_all=False), None, "host/d 12/2000+ 19.0 MiB 10.1 MiB/s"),
        (40, Files(123456, 1234567, listed_all=True), 48 * MIB, "123456/1234567 19.0/48.0 MiB 10.1 MiB/s"),
        (80, Files(0, 1, listed_all=True), None, "host/d 0/1 file  19.0 MiB    10.1 MiB/s"),
        (80, Files(0, 1, listed_all=False), None, "host/d 0/1+ files  19.0 MiB    10.1 MiB/s"),
        (80, Files(12, 2000, listed_all=False), None, "host/d 12/2000+ files  19.0 MiB    10.1 MiB/s"),
        (
            80,
            Files(5, 40, listed_all=True),
            48 * MIB,
            "host/d [=====>         ] 5/40 files  19.0/48.0 MiB    10.1 MiB/s      0:03 left",
        ),
    ],
)
def test_a_tree_shows_its_files_too(columns: int, files: Files, total: int | None, line: str) -> None:
    """A tree's line counts files, with a plus while the listing grows; on narrow terminals the time left is omitted first."""
    shown = bar_line("host/d", Amounts(19 * MIB, 0, total, files), RATE, (), columns)
    assert shown == line


NAMES = st.text(max_size=150).map(printable)
BYTES = st.integers(0, 1 << 50)
AMOUNTS = st.builds(
    Amounts,
    completed=BYTES,
    total=st.none() | BYTES,
    files=st.none() | st.builds(Files, st.integers(0, 10**7), st.integers(0, 10**7), st.booleans()),
)
RATES = st.none() | st.floats(0, 1e12)
STATUSES = st.sampled_from([(), STALLED, GONE, ("finishing",)])


@given(NAMES, AMOUNTS, RATES, STATUSES, st.integers(1, 250))
def test_a_line_is_never_wider_than_the_terminal(
    name: str, amounts: Amounts, rate: float | None, status: tuple[str, ...], columns: int
) -> None:
    """For any content the line fits, and the terminal's last column stays empty."""
    line = bar_line(name, amounts, rate, status, columns)
    assert columns_of(line) < columns
    assert "\n" not in line


@given(AMOUNTS, RATES, STATUSES, st.integers(1, 250))
def test_figures_are_whole_or_not_there(amounts: Amounts, rate: float | None, status: tuple[str, ...], columns: int) -> None:
    """A line has a name, a bar and complete figures; a figure is omitted only if they do not all fit at their shortest."""
    figures = [figures[place].forms for figures in [figures_of(amounts, rate, status)] for place in sorted(figures)]
    rest = bar_line("n" * 100, amounts, rate, status, columns)
    shown = 0
    for forms in reversed(figures):
        for form in forms:
            if rest == form or rest.endswith(f" {form}"):
                rest = rest.removesuffix(form).rstrip()
                shown += 1
                break
    assert set(rest) <= set("n.[=> ]"), "what is left of the line is the name and the bar"
    assert shown == len(figures) or len(" ".join(forms[-1] for forms in figures)) >= columns


@given(st.text(max_size=150), st.integers(0, 160))
def test_a_shortened_text_fits_and_keeps_its_ends(text: str, columns: int) -> None:
    """A text that is too long loses its middle; others stay unchanged."""
    short = shortened(text, columns)
    assert columns_of(short) <= columns
    if columns_of(text) <= columns:
        assert short == text
    elif short:
        head, _, tail = short.partition("...")
        assert text.startswith(head)
        assert text.endswith(tail) or "..." in text


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("模型", 4), ("e\u0301", 1), ("\uff21", 2), ("\U0001f600", 2), ("\u2764\ufe0f", 2), ("ñandú", 5)],
)
def test_columns_are_those_of_a_terminal(text: str, columns: int) -> None:
    """Wide characters take two columns, and combining marks none."""
    assert columns_of(text) == columns


@pytest.mark.parametrize(
    ("part", "whole", "padded", "said"),
    [
        (7 * MIB, 48 * MIB, False, "7.0/48.0 MiB"),
        (7 * MIB, 48 * MIB, True, " 7.0/48.0 MiB"),
        (7 * MIB, None, True, "7.0 MiB"),
        (0, 13, False, "0/13 B"),
        (512, 1 << 50, False, "0.0/1024.0 TiB"),
    ],
)
def test_an_amount_has_one_unit(part: int, whole: int | None, padded: bool, said: str) -> None:  # noqa: FBT001
    """The bytes so far are shown in the unit of the total."""
    assert say_amount(part, whole, padded=padded) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0:00"),
        (4.4, "0:04"),
        (59.6, "1:00"),
        (754, "12:34"),
        (3723, "1:02:03"),
        (86_400, "1 d 00 h"),
        (273_600, "3 d 04 h"),
    ],
)
def test_a_time_left_is_short(seconds: float, said: str) -> None:
    """Times are minutes and seconds, with hours if there are any; from one day on, days and hours."""
    assert say_duration(seconds) == said
