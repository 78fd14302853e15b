"""The file of tokens: lines are added by `unspool token`, and read by servers (`unspool.core.tokens` has the format)."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from unspool.access.files import FromFile, WatchedFile, read_file
from unspool.core.access import Credentials, Principal, by_certificate
from unspool.core.oserrors import local_file_error, reason_of
from unspool.core.tokens import Tokens, is_token, looks_like_token, parse_tokens
from unspool.errors import UnauthenticatedError, UnspoolError


class TokenFile(FromFile[Tokens]):
    """Identifies callers by the tokens of a file: `Server(store, authenticate=TokenFile("tokens"))`.

    The file is looked at once a second, while calls are made. A change counts when it is a second old. A file that
    makes no sense changes nothing; that is logged and counted. A caller without a token is known by its certificate, if it has
    one.

    Args:
        path: the file; `unspool token new` makes it.
        clock: seconds since 1970.

    Raises:
        LocalFileError: the file cannot be read.
        InvalidRequestError: it makes no sense; the message names the line.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = time.time) -> None:
        super().__init__(WatchedFile(path, parse_tokens, "tokens"))
        self._clock = clock

    def __call__(self, shown: Credentials, /) -> Principal | None:
        """See `Authenticate`."""
        if shown.token is None:
            return by_certificate(shown)
        listed = self._file.look().find(shown.token)
        if listed is None:
            if looks_like_token(shown.token) and not is_token(shown.token):
                raise UnauthenticatedError("the token has a typing error, or is cut short")
            raise UnauthenticatedError("the server does not know this token")
        if (state := listed.state(self._clock())) != "valid":
            raise UnauthenticatedError(f"the token {listed.id} of {listed.name} is {state}; ask for a new one")
        return Principal((listed.name,), listed.expires)


_ONLY_OURS = 0o600
"""The mode of a new file. It has no secrets that could be used, but it lists who there is."""


def read_tokens(path: str | os.PathLike[str]) -> Tokens:
    """Return the tokens of a file.

    Raises:
        LocalFileError: it cannot be read.
        InvalidRequestError: a line of it makes no sense; the message names the line.
    """
    return parse_tokens(read_file(path), str(path))


def add_lines(path: str | os.PathLike[str], make: Callable[[Tokens], list[str]]) -> None:
    """Add lines to a file of tokens, all or none, and wait until they are on the disk. A missing file is created.

    Args:
        path: the file.
        make: returns the lines, given the tokens in the file. Nobody else adds a line between.

    Raises:
        LocalFileError: the file cannot be read or written.
        InvalidRequestError: the file makes no sense as it is, or `make` refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _ONLY_OURS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = read_file(path)
            lines = make(parse_tokens(text, str(path)))
            _append(descriptor, ("\n" if text and not text.endswith("\n") else "") + "".join(f"{line}\n" for line in lines))
        finally:
            os.close(descriptor)
    except UnspoolError:
        raise
    except OSError as error:
        raise local_file_error(f"{path}: {reason_of(error)}", error, name=str(Path(path))) from error


def _append(descriptor: int, text: str) -> None:
    """Append a text with one write, and take back what a full disk cut off."""
    data = text.encode()
    before = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise
