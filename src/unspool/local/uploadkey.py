"""The key of a user's uploads: a small file of random bytes, made when it is first wanted.

Rule 1: only the user can read it: it is made with mode 0600, in a directory that is made with 0700.
Rule 2: two processes that make it at the same time get the same key: the file appears whole, and the first one stays.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from unspool.core.oserrors import local_file_error, reason_of
from unspool.core.uploadid import KEY_BYTES
from unspool.errors import LocalFileError


def upload_key(path: Path) -> bytes:
    """Return the key in the file, which is made if it does not exist. Blocks.

    Raises:
        LocalFileError: the file cannot be read or made, or has other contents.
    """
    try:
        key = _read(path)
        if key is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path)
            key = path.read_bytes()
    except OSError as error:
        said = f"{path}: the key of uploads can be neither read nor made: {reason_of(error)}"
        raise local_file_error(said, error) from error
    if len(key) != KEY_BYTES:
        raise LocalFileError(f"{path}: is not a key of uploads, which has {KEY_BYTES} bytes: remove it")
    return key


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _make(path: Path) -> None:
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was quicker: its key is used
            os.link(new, path)
    finally:
        new.unlink()
