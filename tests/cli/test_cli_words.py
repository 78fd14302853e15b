"""The texts of the command line: numbers, and advice."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import unspool
from unspool import errors
from unspool.cli import advice as advices
from unspool.cli.advice import advice, with_flags
from unspool.cli.exits import EXIT_CODES
from unspool.cli.mixedservers import Mixed
from unspool.cli.output import printable
from unspool.cli.units import say_bytes, say_result, say_share, say_time, say_tree
from unspool.client.events import TransferEnded
from unspool.client.results import Result
from unspool.client.treeresults import TreeResult
from unspool.errors import UnspoolError

ERRORS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, UnspoolError)]


@pytest.mark.parametrize(("command", "said"), [("get", " (perhaps --dialect demo?)"), ("put", ""), ("rm", ""), ("ls", "")])
def test_an_option_is_suggested_only_where_there_is_one(command: str, said: str) -> None:
    """Only `get` has `--dialect`."""
    error = errors.UnsupportedError('h:1: no such method; it does not speak unspool.v1 (perhaps dialect="demo"?)')
    assert advice(error, "h:1/a", command=command).split(";")[1] == f" it does not speak unspool.v1{said}"


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    """For any name, the output has no control character, and a printable text stays unchanged."""
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_bytes_in_binary_units(count: int, said: str) -> None:
    """Sizes have binary units with their proper names."""
    assert say_bytes(count) == said


def test_shares_are_never_rounded_up() -> None:
    """An incomplete download is never shown as 100 %."""
    assert say_share(999_999, 1_000_000) == "99 %"
    assert say_share(5, 5) == "100 %"
    assert say_share(2048, None) == "2.0 KiB"


@pytest.mark.parametrize(
    ("nanoseconds", "said"), [(None, ""), (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"), (10**30, "?")]
)
def test_times_are_said_in_utc(nanoseconds: int | None, said: str) -> None:
    """Times are ISO 8601 in UTC; a time outside the calendar is a question mark, and not an error."""
    assert say_time(nanoseconds) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "out: 2.0 KiB, 1.0 KiB in 0.5 s (2.0 KiB/s), resumed at 50 %, the whole file verified"),
        ({"resumed_from": 2048, "bytes_received": 0, "already_here": True}, "out: 2.0 KiB, already complete, the whole file"),
        (
            {"resumed_from": 2048, "bytes_received": 0},
            "out: 2.0 KiB, complete from an earlier run, the whole file verified",
        ),
        ({"size": 0, "resumed_from": 0, "bytes_received": 0}, "out: 0 B, 0 B in 0.5 s (0 B/s), the whole file verified"),
        (
            {"resumed_from": 0, "bytes_received": 2048, "seconds": 0.0},
            "out: 2.0 KiB, 2.0 KiB in 0.0 s (0 B/s), the whole file verified",
        ),
        ({"restarts": 1}, "resumed at 50 %, begun again once, the"),
        ({"restarts": 2}, "resumed at 50 %, begun again 2 times, the"),
        ({"verified": "blocks"}, "every block verified (the server has no checksum of the whole)"),
        ({"verified": "none"}, "NOT verified"),
        ({"path": None}, "a.bin: 2.0 KiB"),
    ],
)
def test_a_result_says_what_happened(changes: dict[str, object], said: str) -> None:
    """The line at the end has the bytes received, the point of the resume, and how much was verified."""
    fields: dict[str, object] = {
        "name": "a.bin",
        "path": "out",
        "size": 2048,
        "revision": "r1",
        "verified": "file",
        "crc32c": 1,
        "bytes_received": 1024,
        "resumed_from": 1024,
        "attempts": 1,
        "restarts": 0,
        "seconds": 0.5,
    }
    assert said in say_result(Result(**{**fields, **changes}))  # type: ignore[arg-type]  # as the dataclass has them


def test_several_servers_are_counted_and_those_that_differ_named() -> None:
    """The line says from how many servers the bytes came, and another one which of them had another revision."""
    result = Result("a", "out", 2048, "r1", "file", 0, 2048, 0, 2, 0, 0.5, servers={"a:1": 1024, "b:1": 1024}, without=("c:1",))
    assert "2.0 KiB in 0.5 s (4.0 KiB/s from 2 servers), the whole file" in say_result(result)
    ended = TransferEnded("get", "a", "OK", "", None, 1, 5, 0.5, "t", without=("c:1",))
    mixed = Mixed()
    mixed.notify(replace(ended, without=()))
    assert mixed.warning() == ""
    mixed.notify(ended)
    mixed.notify(replace(ended, name="b", without=("b:1",)))
    assert mixed.warning().startswith("unspool: warning: a: not the same revision at b:1, c:1, which is ahead of the others")


def test_one_file_is_one_file() -> None:
    """The line about a tree uses the singular for one file."""
    result = TreeResult("", "out", 1, 5, 0, 1, 0, 0, 0, (), (), "file", 0, 0.5)
    assert say_tree(result) == "out: 1 file, 5 B in 0.5 s (0 B/s): 0 fetched, 1 already here"


# Errors


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_an_exit_code_that_the_help_explains(kind: type[UnspoolError]) -> None:
    """Each error's exit code is in the table of the help."""
    assert kind.exit_code in EXIT_CODES


def test_every_exit_code_is_somebodys() -> None:
    """Every listed exit code is used."""
    assert set(EXIT_CODES) == {0, 129, 130, 141, 143} | {kind.exit_code for kind in ERRORS}


ADVISED = [kind for kind in ERRORS if kind.exit_code in (3, 4, 5, 7) and not issubclass(kind, errors.ConnectError)]


@pytest.mark.parametrize("kind", ADVISED)
def test_errors_come_with_advice(kind: type[UnspoolError]) -> None:
    """Not found, no access, changed and broken transfers each end with advice."""
    line = advice(kind("a.bin: went wrong"), "localhost:1/a.bin")
    assert line.startswith("a.bin: went wrong; ")


def test_an_error_from_below_is_given_its_file() -> None:
    """An error of a connection has no file's name: the line begins with the requested file, once."""
    below = errors.UnreachableError("localhost:1: connection refused")
    assert advice(below, "localhost:1/a.bin").startswith("localhost:1/a.bin: localhost:1: connection refused; ")
    named = errors.UnreachableError("a.bin: at byte 7: cut")
    assert advice(named, "localhost:1/a.bin").startswith("a.bin: at byte 7: cut; ")
    assert advice(below, None) == below.message
    assert advice(below, "not:an:address").startswith("localhost:1: ")


def test_a_server_that_cannot_be_reached_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """This line names the server and what to check, and nothing is added, unless gRPC used a proxy."""
    for variable in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    error = errors.ConnectError("files:1: nobody listens there (connection refused); start `unspool serve`, or check the port")
    assert advice(error, "files:1/a.bin") == error.message
    assert advice(error, None) == error.message
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert advice(error, "files:1/a.bin").endswith(
        " (tried through the proxy in http_proxy; no_proxy lists what is reached without it)"
    )
    assert advice(error, "localhost:1/a.bin") == error.message
    assert advice(error, "not:an:address") == error.message


def messages() -> Iterator[tuple[Path, str]]:
    """Yield every string of the library that is not a docstring."""
    root = Path(unspool.__file__).parent
    for path in root.rglob("*.py"):
        if root / "cli" in path.parents:
            continue
        tree = ast.parse(path.read_text())
        texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
                yield path, node.value


def test_the_library_knows_no_flags() -> None:
    """Messages of the library name options and arguments; flags and commands appear only in the command line's."""
    flags = {(path.name, text) for path, text in messages() if re.search(r"--[a-z]|the same command", text)}
    assert flags == set()


@pytest.mark.parametrize(("theirs", "ours"), advices._WORDS.items())
def test_what_the_library_says_of_options_is_said_with_flags(theirs: str, ours: str) -> None:
    """Each phrase that the command line translates occurs in the library, and is translated to the flag."""
    assert any(theirs in text for _, text in messages())
    assert with_flags(f"a.bin: {theirs}, or not") == f"a.bin: {ours}, or not"
    assert advice(UnspoolError(f"a.bin: {theirs}"), None) == f"a.bin: {ours}"
