"""What to do next: the end of an error's line, where its message does not say it already."""

from __future__ import annotations

from unspool.core.abridged import abridged
from unspool.core.address import parse_address
from unspool.errors import (
    AccessError,
    DataLossError,
    FileChangedError,
    FileKeepsChangingError,
    InvalidRequestError,
    NotFoundError,
    ProtocolError,
    TransferError,
    UnspoolError,
    UnsupportedError,
)

_ASK = "ask whoever runs the server"

_ADVICE: dict[type[UnspoolError], str] = {
    NotFoundError: "`unspool ls` shows what there is",
    AccessError: _ASK,
    FileChangedError: "`unspool get` without `--on-change fail` begins again with what it is now",
    FileKeepsChangingError: "copy it aside on the server and get the copy, or try again when nothing writes to it",
    DataLossError: _ASK,
    ProtocolError: _ASK,
    TransferError: "run the same command again; a download goes on where it stopped",
}
"""Per class, for the ones below it too."""


def advice(error: UnspoolError, url: str | None) -> str:
    """Return the whole line for an error: what happened, to which file, and what to do next.

    Args:
        error: its message names the file, unless it comes from below (a connection, a proxy).
        url: what the command was about, if about a file on a server.
    """
    line = abridged(error.message)
    if url is not None and isinstance(error, TransferError | AccessError | UnsupportedError) and not _is_named(line, url):
        line = f"{url}: {line}"
    for kind in type(error).__mro__:
        if kind in _ADVICE and url is not None:
            return f"{line}; {_ADVICE[kind]}"
    return line


def _is_named(line: str, url: str) -> bool:
    try:
        return parse_address(url).name in line
    except InvalidRequestError:
        return True
