"""Splits the words of `get` into URLs and a destination, and finds the path of each file.

The last word is the destination if it is not a URL, as with cp. A URL has a port or a scheme: `HOST:PORT/NAME`,
`unspool://HOST/NAME`. A single URL, or the first of two words, may leave out both. An ambiguous word is refused with a message
that shows how to write it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from unspool.core.address import SCHEME, Address, has_scheme, is_server, is_url, parse_address
from unspool.core.names import check_name
from unspool.core.oserrors import local_file_error, reason_of
from unspool.core.value import value
from unspool.errors import InvalidRequestError, LocalFileError


def split_words(words: Sequence[str], *, listed: bool) -> tuple[list[str], str | None]:
    """Return the URLs and the destination among the words of a command line.

    Args:
        words: in the order of the command line.
        listed: whether there is also a list of URLs.

    Raises:
        click.UsageError: the words make no sense, or are ambiguous.
    """
    urls, dest = list(words), None
    if not urls and not listed:
        raise click.UsageError("Missing argument 'URL'.")
    if len(urls) > 1 or (urls and listed):
        last = urls[-1]
        if is_server(last):
            raise click.UsageError(f"{last!r} is a server and, as the last argument, a path: write ./{last} for the path.")
        if not is_url(last):
            dest = urls.pop()
        elif not has_scheme(last) and Path(last).parent.is_dir():
            raise click.UsageError(f"{last!r} is a URL and, here, a path: write {SCHEME}{last} or ./{last}.")
    if len(urls) > 1 or listed:
        for url in urls:
            if not is_url(url):
                raise click.UsageError(
                    f"{url!r} could be a path: a URL has a port or a scheme where there are several, as in "
                    f"{SCHEME}{url}. The destination comes last."
                )
    return urls, dest


@value
class Target:
    """A file on a server, and its local path."""

    address: Address
    path: Path


def targets(urls: Iterable[str], listed: str | None, dest: str | None) -> list[Target]:
    """Return several files, each once, with their paths in the directory `dest`.

    Args:
        urls: from the command line.
        listed: the file with more URLs; None if there is none.
        dest: the directory; None is the current one.

    Raises:
        click.UsageError: `dest` is not a directory, or two files would get the same path.
        InvalidRequestError: a URL is invalid. If it comes from the list, the message names the line.
        LocalFileError: the list cannot be read.
    """
    if dest == "-":
        raise click.UsageError("several files cannot go to standard output: name a directory, or use `unspool cat` for each.")
    if dest is not None and not os.path.isdir(dest):  # noqa: PTH112 - unlike Path.is_dir, this raises nothing
        raise click.UsageError(
            f"{dest!r} is not a directory, and several files need one: make it first. If it is a URL, write {SCHEME}{dest}."
        )
    found: dict[Path, Address] = {}
    for address in [*(_file_at(url) for url in urls), *(_read(listed) if listed is not None else ())]:
        path = Path(dest or ".") / address.name.rpartition("/")[2]
        if found.setdefault(path, address) != address:
            raise click.UsageError(f"{found[path]} and {address} would both be {path}: get them into different directories.")
    return [Target(address, path) for path, address in found.items()]


def _read(name: str) -> Iterator[Address]:
    """Yield the addresses in a list: one URL per line. Blank lines and lines that begin with `#` are skipped."""
    try:
        if name == "-":
            if sys.stdin is None:
                raise LocalFileError("standard input: is closed; no list can be read from it")
            data = sys.stdin.buffer.read()
        else:
            data = Path(name).read_bytes()
    except OSError as error:
        raise local_file_error(f"{name}: {reason_of(error)}", error) from error
    shown = "standard input" if name == "-" else name
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            url = line.decode().strip()
            if url and not url.startswith("#"):
                yield _file_at(url)
        except UnicodeDecodeError:
            raise InvalidRequestError(f"{shown}: line {number} is not UTF-8") from None
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{shown}: line {number}: {error.message}") from error


def _file_at(url: str) -> Address:
    address = parse_address(url)
    check_name(address.name)
    return address
