"""Rules of the house that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unspool

ROOT = Path(unspool.__file__).parent

GENERATED = [ROOT / "v1", ROOT / "demo", ROOT / "rpc" / "bytestream"]

MODULES = sorted(path for path in ROOT.rglob("*.py") if path.parent not in GENERATED)

LONGEST = 400
"""Lines that one file may have: what one reads in a sitting."""


def named(path: Path) -> str:
    """Return how a module is called here."""
    return str(path.relative_to(ROOT))


def calls_and_attributes(path: Path) -> Iterator[str]:
    """Yield what a module calls and reaches for, as it is written: `print`, `os.environ`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_are_modules_to_look_at() -> None:
    """The rules below are checked on the whole package."""
    assert ROOT / "cli" / "get.py" in MODULES
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_file_is_too_long(path: Path) -> None:
    """A file does one job, and can be read in a sitting."""
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != ROOT / "cli"], ids=named)
def test_only_the_command_line_prints_and_reads_the_environment(path: Path) -> None:
    """Outside of the command line nothing prints, and nothing depends on the environment without being told."""
    forbidden = {
        "print",
        "input",
        "os.environ",
        "os.environb",
        "os.getenv",
        "os.putenv",
        "sys.argv",
        "sys.stdout",
        "sys.stderr",
    }
    assert not forbidden & set(calls_and_attributes(path))


def test_the_rule_about_printing_would_find_something() -> None:
    """The rule sees what it is about: the command line does both."""
    found = {what for path in (ROOT / "cli").glob("*.py") for what in calls_and_attributes(path)}
    assert {"os.environ", "sys.stdout"} <= found


@pytest.mark.parametrize(
    "program",
    [
        "import unspool",
        "from unspool.cli import main; main(['--version'], standalone_mode=False)",
        "from unspool.cli import main; main(['--help'], standalone_mode=False)",
        "from unspool.cli import main; main(['get', '--help'], standalone_mode=False)",
    ],
)
def test_what_needs_no_network_does_not_load_it(program: str) -> None:
    """Importing the package, `--version` and help load neither gRPC nor protobuf or asyncio."""
    heavy = "{'grpc', 'google', 'asyncio', 'uvloop'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; sys.exit(','.join({heavy} & set(sys.modules)) or 0)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("program", "unneeded"),
    [
        ("sys.argv = ['unspool', '--version']; from unspool.__main__ import main; main()", {"click", "typing", "re"}),
        (
            "from unspool.cli import main; main(['get', '--help'], standalone_mode=False)",
            {"unspool.cli.serve", "unspool.cli.conformance", "unspool.cli.token", "json", "importlib.metadata"},
        ),
        (
            "import unspool.cli.get, unspool.client.client, unspool.rpc.transport",
            {"unspool.core.uploading", "unspool.core.tree", "unspool.rpc.certificates", "google.rpc", "hashlib", "fractions"},
        ),
    ],
    ids=["--version", "get --help", "get"],
)
def test_a_command_loads_nothing_of_others(program: str, unneeded: set[str]) -> None:
    """`--version` needs no parser of command lines, and a command no other command. A download has no trees."""
    done = subprocess.run(
        [sys.executable, "-SIc", f"import sys; sys.path[:0] = {sys.path!r}; {program}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not unneeded & set(done.stdout.split())


def test_the_version_is_told_once() -> None:
    """`unspool --version` says the version of the package."""
    done = subprocess.run([sys.executable, "-m", "unspool", "--version"], capture_output=True, text=True, check=True)
    assert unspool.__version__ in done.stdout
