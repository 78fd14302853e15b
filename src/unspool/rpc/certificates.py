"""Files of certificates and keys: read and checked together, and read again when they change.

Rule 1: a certificate and a key are used only if they belong together. Programs that renew them replace one file after the
        other; the files are not used between the two.
Rule 2: if the files are invalid after a change, the old contents stay in use. This is logged once for each change, and counted.
Rule 3: every handshake checks whether the files have changed. This costs one stat of each file.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import TypeAlias

from unspool.core.certificate import Certificate, parse_pem
from unspool.core.oserrors import local_file_error, reason_of
from unspool.errors import InvalidRequestError, UnspoolError

log = logging.getLogger("unspool.certificates")

FilePath: TypeAlias = str | PathLike[str]

_SETTLED = 2.0
"""Seconds after a file's last change, after which any further change has another time stamp. (The coarsest time stamps, those
of FAT, are two seconds apart.) Until then the file is read again, and its bytes are compared."""

_TRIES = 5
"""How many times the files are read at the start, if they change meanwhile."""

_LARGEST = 1 << 20
"""Bytes. All authorities of Mozilla's list together take 200 KiB; a device or a wrong file is not read to its end."""


_Contents: TypeAlias = tuple[bytes | None, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True, eq=False)
class Pems:
    """The contents of the files (PEM); None for a file that was not given. `certificate` describes the first of `chain`."""

    ca: bytes | None
    chain: bytes | None
    key: bytes | None
    certificate: Certificate | None


class Certificates:
    """The files of one end of connections. Safe to use from several threads.

    Args:
        ca: the authorities that sign the certificates of the other end.
        cert: our own certificate, followed by those of intermediate authorities.
        key: its private key; None if it is in the same file.

    Attributes:
        cert, key: the paths; None where there is no file.
        host: the name that the other end's certificate must be for; None if it is the host in the target.
        refused: how many times files were bad when they changed.
    """

    def __init__(self, ca: FilePath | None = None, cert: FilePath | None = None, key: FilePath | None = None) -> None:
        if key is not None and cert is None:
            raise InvalidRequestError(f"{os.fspath(key)}: a key without a certificate: give the certificate with cert=, too")
        self.cert = None if cert is None else os.fspath(cert)
        self._ca = None if ca is None else os.fspath(ca)
        self.key = self.cert if key is None else os.fspath(key)
        self.host: str | None = None
        self.refused = 0
        self._lock = threading.Lock()
        self._stamps: object = None
        self._seen: object = None
        self._current: Pems | None = None

    def current(self) -> Pems:
        """Return the contents of the files: the same object until they change, and also if they are invalid after a change.

        Raises:
            LocalFileError, InvalidRequestError: in the first call, if a file cannot be read or has the wrong content.
        """
        if self._current is None:
            with self._lock:
                self._current = self._current or self._begin()
        # If another thread is reading the files already, use the present contents.
        elif self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._current

    def _begin(self) -> Pems:
        for _ in range(_TRIES):
            stamps = self._look()
            contents = self._read()
            pems = self._checked(contents)
            if self._read() == contents:
                break
        self._seen = contents
        self._note(stamps)
        return pems

    def _renew(self) -> None:
        stamps = self._look()
        if stamps == self._stamps:
            return
        contents = self._read_or_say()
        if contents != self._seen:
            outcome = self._checked_or_say(contents)
            if self._read_or_say() != contents:
                return  # they are being replaced now; the next handshake reads them again
            if isinstance(outcome, Pems):
                self._current = outcome
                log.info("%s changed: new connections use what is in it now", self.cert or self._ca)
            else:
                self.refused += 1
                log.warning("%s; what was there before stays in use (bad changes so far: %d)", outcome, self.refused)
            self._seen = contents
        self._note(stamps)

    def _paths(self) -> list[str]:
        return [path for path in (self._ca, self.cert, self.key) if path is not None]

    def _look(self) -> list[tuple[int, ...] | None]:
        """Return the stamps of the files, which change when a file changes. None stands for a missing file."""
        found: list[tuple[int, ...] | None] = []
        for path in self._paths():
            try:
                now = os.stat(path)  # noqa: PTH116 - once per handshake, and pathlib is slower
                found.append((now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
            except OSError:
                found.append(None)
        return found

    def _note(self, stamps: list[tuple[int, ...] | None]) -> None:
        """Remember the stamps of the files read, if they are old enough that any further change will change them."""
        settled = (time.time() - _SETTLED) * 1e9
        self._stamps = stamps if all(stamp is None or stamp[-1] < settled for stamp in stamps) else None

    def _read(self) -> _Contents:
        chain = _read(self.cert)
        return _read(self._ca), chain, chain if self.key == self.cert else _read(self.key)

    def _read_or_say(self) -> _Contents | str:
        """Return the contents of the files, or the message of the error."""
        try:
            return self._read()
        except UnspoolError as error:
            return error.message

    def _checked_or_say(self, contents: _Contents | str) -> Pems | str:
        try:
            return contents if isinstance(contents, str) else self._checked(contents)
        except UnspoolError as error:
            return error.message

    def _checked(self, contents: _Contents) -> Pems:
        """Check the contents and return them. Raises InvalidRequestError if they are not valid."""
        ca, chain, key = contents
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if ca is not None:
            try:
                context.load_verify_locations(cadata=ca.decode("ascii", errors="ignore"))  # comments may be UTF-8
            except (ssl.SSLError, ValueError):
                raise InvalidRequestError(f"{self._ca}: there are no certificates (PEM) in it") from None
        certificate = None
        if chain is not None:
            try:
                certificate = parse_pem(chain)
            except InvalidRequestError:
                raise InvalidRequestError(f"{self.cert}: there is no certificate (PEM) in it") from None
            self._check_pair(context)
        return Pems(ca, chain, key, certificate)

    def _check_pair(self, context: ssl.SSLContext) -> None:
        """Check that certificate and key belong together. Python's ssl takes them as files only."""
        assert self.cert is not None

        def no_passphrase() -> str:
            raise InvalidRequestError(f"{self.key}: the key has a passphrase: give one without")

        try:
            context.load_cert_chain(self.cert, self.key, password=no_passphrase)
        except ssl.SSLError as error:
            if "KEY_VALUES_MISMATCH" in str(error):
                raise InvalidRequestError(f"{self.key}: not the key of the certificate in {self.cert}") from None
            raise InvalidRequestError(f"{self.key}: there is no private key (PEM) in it") from None
        except OSError as error:
            raise local_file_error(f"{self.key}: {reason_of(error)}", error) from error


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise local_file_error(f"{path}: {reason_of(error)}", error) from error
    if len(data) > _LARGEST:
        raise InvalidRequestError(f"{path}: larger than any file of certificates ({_LARGEST} bytes)")
    return data


def say_time(moment: datetime) -> str:
    """Return a time for a message, to the minute, because some certificates are valid for an hour only."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")
