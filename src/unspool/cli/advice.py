"""Advice for errors: the end of an error's line, if the message does not already say what to do next."""

from __future__ import annotations

import os

from unspool.core.abridged import abridged
from unspool.core.address import is_loopback, parse_address
from unspool.errors import (
    AccessError,
    AlreadyExistsError,
    ConnectError,
    DataLossError,
    FileChangedError,
    FileKeepsChangingError,
    InvalidNameError,
    InvalidRequestError,
    NoSpaceError,
    NotAFileError,
    NotFoundError,
    ProtocolError,
    SourceChangedError,
    TransferError,
    UnauthenticatedError,
    UnspoolError,
    UnsupportedError,
)

_ASK = "ask whoever runs the server"

_ADVICE: dict[type[UnspoolError], str] = {
    NotFoundError: "`unspool ls` shows what there is",
    NotAFileError: "`unspool get -r` gets the files of a directory",
    AccessError: _ASK,
    UnauthenticatedError: "give a token (--token-file, UNSPOOL_TOKEN) or a client certificate (--cert)",
    AlreadyExistsError: "choose another name, or replace it",
    FileChangedError: "`unspool get` without `--on-change fail` begins again with what it is now",
    FileKeepsChangingError: "copy it aside on the server and get the copy, or try again when nothing writes to it",
    DataLossError: _ASK,
    ProtocolError: _ASK,
    TransferError: "run the same command again; a download goes on where it stopped",
}
"""The advice for each class of errors and its subclasses."""

_PUT_ADVICE: dict[type[UnspoolError], str] = _ADVICE | {
    NotFoundError: "nothing was written",
    NotAFileError: "choose another name; a URL that ends in `/` is a directory",
    UnsupportedError: "it may be older, or serve read-only",
    FileChangedError: "`unspool stat` shows its revision",
    FileKeepsChangingError: "upload it when nothing writes to it",
    SourceChangedError: "the server has what it had before",
    AlreadyExistsError: "`unspool put` without `--if-absent` replaces it",
    TransferError: "run the same command again; an upload goes on where it stopped",
    NoSpaceError: "run the same command again when there is space; the upload goes on where it stopped",
}
"""The same for `unspool put`."""

_PUT_STREAM_ADVICE: dict[type[UnspoolError], str] = _PUT_ADVICE | {
    TransferError: "nothing was written, and what came from standard input is lost",
    NoSpaceError: "nothing was written, and what came from standard input is lost",
}
"""The same for `unspool put -`."""

_RM_ADVICE: dict[type[UnspoolError], str] = _ADVICE | {
    NotAFileError: "`unspool rm -r` deletes the files of a directory",
    UnsupportedError: "it may be older, or serve read-only",
    FileChangedError: "`unspool stat` shows its revision",
    TransferError: "run the same command again",
}
"""The same for `unspool rm`."""

_OF_COMMAND = {"put": _PUT_ADVICE, "put -": _PUT_STREAM_ADVICE, "rm": _RM_ADVICE}

_DIALECT = "(perhaps --dialect demo?)"

_WORDS: dict[str, str] = {
    "get it again with resume=False": "run it again with --no-resume",
    "upload it with put_tree": "add --recursive",
    "get it again": "run the same command again",
    "(resume=False)": "(--no-resume)",
    "(overwrite=True)": "(--overwrite)",
    "ask without it (sha256=False)": "leave --sha256 away",
    "leave out the revision (content)": "leave out --revision content",
    '(perhaps dialect="demo"?)': _DIALECT,
    "leave out tls=, ca=, cert= and key=": "leave out --tls, --ca, --cert and --key",
    "ca=, cert= and key= are for TLS": "--ca, --cert and --key are for TLS",
    "use tls=True": "use --tls",
    "token_in_clear=True": "--token-in-clear",
    "with cert= and key=": "with --cert and --key",
    "with cert=": "with --cert",
    "the file of ca=": "the file of --ca",
    "with ca=": "with --ca",
    "with client_ca=": "with --client-ca",
    "leave out client_ca=": "leave out --client-ca",
    "leave out cert=": "leave out --cert",
    "allow it with insecure=True": "allow it with --insecure",
    "give the name of one (name=)": "name one with --name",
    "(AdminService)": "(it was started without --admin)",
    "open it and give it as a writer": "write to it with `-` and a redirect",
}
"""Words of the library's messages about options and calls, and what the command line says instead. The first match is used."""


_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""The variables in which gRPC looks for a proxy, in its order."""


def advice(error: UnspoolError, url: str | None, *, command: str = "get") -> str:
    """Return the whole line for an error: what happened, to which file, and what to do next.

    Args:
        error: its message names the file, unless the error is about the connection or a proxy.
        url: the URL given to the command; None if there is none, or several.
        command: the name of the command; `put -` is an upload of standard input.
    """
    if isinstance(error, InvalidNameError) and error.name == "" and url is not None:
        return f"{url} names a server and no file: write {parse_address(url)}NAME"
    line = abridged(with_flags(error.message))
    if command != "get":  # the others have no --dialect
        line = line.replace(f" {_DIALECT}", "")
    if isinstance(error, UnauthenticatedError) and "client certificate" in line:  # the same is so
        return line
    if isinstance(error, UnsupportedError) and "the same storage" in line:  # it says what to do
        return f"{url}: {line}" if url is not None else line
    if isinstance(error, ConnectError):  # it names the server and what to check
        return line + (_through_a_proxy(url) if url is not None else "")
    if url is not None and isinstance(error, TransferError | AccessError | UnsupportedError) and not _is_named(line, url):
        line = f"{url}: {line}"
    advices = _OF_COMMAND.get(command, _ADVICE)
    for kind in type(error).__mro__:
        if kind in advices and url is not None:
            return f"{line}; {advices[kind]}"
    return line


def _through_a_proxy(url: str) -> str:
    """Return a note if gRPC used a proxy, because the failure may be the proxy's."""
    variable = next((name for name in _PROXIES if os.environ.get(name)), None)
    try:
        direct = variable is None or is_loopback(parse_address(url).target)
    except InvalidRequestError:
        return ""
    return "" if direct else f" (tried through the proxy in {variable}; no_proxy lists what is reached without it)"


def with_flags(message: str) -> str:
    """Return a message of the library with command-line flags in place of its options."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _is_named(line: str, url: str) -> bool:
    try:
        return parse_address(url).name in line
    except InvalidRequestError:
        return True
