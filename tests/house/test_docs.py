"""What the documents say about the code, compared with the code."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from house.documents import DOCUMENTS, REPO, anchors, links, read, section, table_after, text_after
from unspool.cli import main
from unspool.cli.exits import EXIT_CODES
from unspool.cli.program import Program
from unspool.core import journal as journals
from unspool.core.journal import Journal
from unspool.core.segments import Segment
from unspool.server.report import MOST_FILES, BatchEnd, CallEnd, FileEnd


def _commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield all commands with their names, those of groups as `token new`."""
    for name, command in (group.every_command if isinstance(group, Program) else group.commands).items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = sorted(_commands(main), key=lambda one: one[0])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file or a heading of ours leads to one that is there."""
    for link in links(path.read_text()):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        leads_to = (path.parent / target).resolve() if target else path
        assert leads_to.exists(), link
        assert not anchor or anchor in anchors(leads_to.read_text()), link


def test_the_readme_fits_its_limit() -> None:
    """The README stays short enough to be read."""
    assert len(read("README.md").splitlines()) <= 90


def test_the_exit_codes_in_the_readme_are_the_programs() -> None:
    """The README's table of exit codes is the one the program shows."""
    rows = table_after(read("README.md"), "## Exit codes")
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def _section(name: str) -> str:
    """Return what docs/cli.md says of a command; one of a group has a section below that of the group."""
    return section(read("docs/cli.md"), f"{'###' if ' ' in name else '##'} unspool {name}")


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_option_of_a_command_is_in_the_reference_with_its_default(name: str, command: click.Command) -> None:
    """docs/cli.md lists exactly the options each command has, and their defaults."""
    documented = {}
    for spellings, default, _ in table_after(_section(name), "| option |"):
        documented[frozenset(re.findall(r"-[-\w]+", spellings))] = default
    real = {}
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        if option.is_flag:
            default = (option.opts if option.default else option.secondary_opts)[0] if option.secondary_opts else ""
        else:
            default = "" if option.required or option.default is None else str(option.default)
            if isinstance(option.default, tuple):
                default = ", ".join(option.default)
        real[frozenset([*option.opts, *option.secondary_opts])] = default
    assert documented == real


def test_the_fields_of_the_json_log_are_in_the_reference() -> None:
    """docs/cli.md lists exactly the fields that a call's end has in the log, and those of a batch."""
    serve = section(read("docs/cli.md"), "## unspool serve")
    documented = [name for names, _ in table_after(serve, "| field |") for name in re.findall(r"\w+", names)]
    assert sorted(documented) == sorted(field.name for field in dataclasses.fields(CallEnd))
    batch = serve[serve.index("`batch` has ") :].partition("\n\n")[0]
    for kind in (BatchEnd, FileEnd):
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in batch
    assert f"at most {MOST_FILES} objects" in batch


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_a_command_is_called_as_the_reference_says(name: str, command: click.Command) -> None:
    """docs/cli.md shows each command with its arguments, optional ones in brackets."""
    arguments = [
        f" {argument.metavar}"
        if argument.metavar
        else f" {argument.name.upper()}"
        if argument.required
        else f" [{argument.name.upper()}]"
        for argument in command.params
        if isinstance(argument, click.Argument) and argument.name
    ]
    assert f"\n`unspool {name}{''.join(arguments)}`\n" in _section(name)


def test_the_reference_has_no_command_that_is_not_there() -> None:
    """docs/cli.md has a section for each command, once, and for nothing else."""
    assert sorted(re.findall(r"^## unspool (\w+)$", read("docs/cli.md"), re.MULTILINE)) == sorted(main.every_command)
    below = re.findall(r"^### unspool (\w+ \w+)$", read("docs/cli.md"), re.MULTILINE)
    assert sorted(below) == [name for name, _ in COMMANDS if " " in name]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_the_modules_a_document_names_are_there(path: Path) -> None:
    """A document that names a module of ours names one that exists."""
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", path.read_text()):
        assert (REPO / "src" / "unspool" / name).is_file() or (REPO / name).is_file(), name


def test_the_example_of_a_journal_is_one() -> None:
    """The journal shown in docs/journal.md is what this version writes, and reads."""
    example = text_after(read("docs/journal.md"), "<!-- example: journal -->").encode()
    mib = 1 << 20
    journal = Journal(
        name="a/model.bin",
        source="files.example:50051",
        revision="2f-2800000-1-1",
        size=40 * mib,
        segment_size=16 * mib,
        segments={0: Segment(16 * mib, 17), 1: Segment(16 * mib, 34), 2: Segment(mib, 51)},
    )
    assert journal.encode() == example
    assert journals.decode(example) == journal


def test_the_tests_of_access_that_security_names_are_there() -> None:
    """Each row of the table names tests that exist, in the files it says."""
    rows = table_after(read("docs/security.md"), "### Shown by tests")
    assert rows
    for _, cell in rows:
        for path, named in re.findall(r"`?(tests/[\w/]+\.py)`: ([^;]*)", cell):
            text = (REPO / path).read_text()
            tests = re.findall(r"test_\w+", named)
            assert tests
            assert all(f"def {test}(" in text for test in tests), cell


def tracked() -> list[str]:
    """Return the files that are in the repository, or would be with the next commit."""
    git = shutil.which("git")
    if git is None or not (REPO / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=REPO, check=True, stdout=subprocess.PIPE
    )
    return [name for name in listed.stdout.decode().split("\0") if name and (REPO / name).is_file()]


# A letter in brackets keeps a pattern from finding itself.
MACHINE = re.compile(r"(?<![\w.}*])/(?:root|home|Users)/\w|/[w]ork/|/opt/[w]heels|/tmp/[l]ab")
REGISTRY = re.compile(r"[p]ypi\.org|[p]ythonhosted|[p]roxy\.golang|[r]egistry\.npmjs|[g]oproxy\.")


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    """Nothing in the repository depends on the paths of one machine, or on one package registry."""
    found = []
    for name in tracked():
        text = (REPO / name).read_bytes().decode(errors="replace")
        found += [f"{name}: {match[0]}" for pattern in (MACHINE, REGISTRY) for match in pattern.finditer(text)]
    assert found == []
