"""The id of an upload. It follows from what is uploaded, so that the same command finds its upload again after anything.

Rule 1: the same key, name, size and modification time give the same id. Nothing has to be written down for each upload.
Rule 2: nobody without the key can tell the id. The key is random, and each user and machine has its own.
Rule 3: the id says nothing about the bytes: a file may be edited and given its old time again. So whatever the server has of an
        upload is compared with the file before it is used.
Rule 4: a server remembers the id of a committed upload. If the name has another file by now, the next generation is used.
"""

from __future__ import annotations

import hashlib

from unspool.core.uploading import UPLOAD_ID_BYTES

KEY_BYTES = 32
"""256 random bits: nobody guesses them."""


def upload_id(key: bytes, name: str, size: int, modified_ns: int, generation: int) -> bytes:
    """Return the id of an upload.

    Args:
        key: KEY_BYTES random bytes.
        name: name that the file gets.
        size: of the local file, in bytes.
        modified_ns: its modification time, in nanoseconds since 1970 UTC.
        generation: 0, or more if the server has committed the upload before.
    """
    what = f"{size} {modified_ns} {generation} {name}".encode()
    return hashlib.blake2b(what, key=key, digest_size=UPLOAD_ID_BYTES, person=b"unspool upload").digest()


def id_by_name(name: str, revision: str, generation: int) -> bytes:
    """Return the id of an upload whose client gives it none: it is known by its name, and by what it replaces.

    So an upload that was committed has another id than the next one to its name.

    Args:
        name: name that the file gets.
        revision: of the file that is there now; "" if there is none.
        generation: 0, or more if an upload with the same name and revision was committed before.
    """
    what = f"{generation} {revision} {name}".encode()
    return hashlib.blake2b(what, digest_size=UPLOAD_ID_BYTES, person=b"unspool by name").digest()
