"""What commands print, and where: text that is safe on a terminal, and standard output as bytes."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO, NoReturn

import click

from unspool.cli.exits import NOBODY_READS
from unspool.core.abridged import abridged
from unspool.errors import LocalFileError


def printable(text: str) -> str:
    """Return text that is safe to print on a terminal: characters that are not printable are escaped."""
    if text.isprintable():  # nearly always; a server's log has a line for each call
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", errors="backslashreplace").decode() for c in text)


def in_short(text: str) -> str:
    """Return a line for a person: printable, and at most 300 characters long."""
    return abridged(printable(abridged(text)))


class ClosedOutput(io.TextIOBase):
    """Stands for a standard output that was closed when the command began: what is written to it is an error, not lost."""

    def write(self, _: str, /) -> NoReturn:
        """Raise LocalFileError."""
        raise LocalFileError("standard output: is closed; nothing can be written to it")


def binary_output() -> BinaryIO:
    """Return standard output as a binary file. Raises LocalFileError if it was closed when the command began."""
    if isinstance(sys.stdout, ClosedOutput):
        sys.stdout.write("")
    return sys.stdout.buffer


def is_output_open() -> bool:
    """Whether anything can be printed."""
    return sys.stdout is not None and not isinstance(sys.stdout, ClosedOutput)


def announce(line: str) -> None:
    """Print a line of a server, which serves also if nobody can read that."""
    if is_output_open():
        click.echo(f"unspool: {line}")


def end_quietly() -> NoReturn:
    """Exit because the reader of standard output or standard error has closed its end."""
    # Without this, Python would report the error again when it flushes at exit.
    sys.stdout = sys.stderr = None
    sys.exit(NOBODY_READS)
