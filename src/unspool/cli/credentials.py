"""Where a command's token comes from: `--token-file`, or the environment variable UNSPOOL_TOKEN. Never an argument."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unspool.core.oserrors import local_file_error, reason_of
from unspool.errors import InvalidRequestError

if TYPE_CHECKING:
    from unspool.options import Token

VARIABLE = "UNSPOOL_TOKEN"

_LARGEST = 64 * 1024
"""Bytes. A JWT with many claims takes a few KiB, and gRPC sends at most 8 KiB of metadata."""


def token_of(file: str | None) -> Token | None:
    """Return where to get the token from: the file, which is read again when the token is refused, or the environment.

    Raises:
        InvalidRequestError: the token itself was given in place of its file.
        LocalFileError: the file cannot be read.
    """
    if file is not None:
        from unspool.core.tokens import looks_like_token  # noqa: PLC0415 - it loads hashlib

        if looks_like_token(file):
            raise InvalidRequestError("--token-file names a file; a token on the command line can be seen by others: revoke it")
        _read(file)  # an error now is better than one in the middle
        return lambda: _read(file)
    if variable := os.environ.get(VARIABLE):
        return variable.strip
    return None


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_LARGEST).decode().strip()
    except OSError as error:
        raise local_file_error(f"{file}: {reason_of(error)}", error) from error
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{file}: not a token: it is not text") from None
