"""Reads from a certificate (X.509, RFC 5280) what messages about it need: its names and its dates.

Nothing is verified here; TLS does that. The encoding is DER: elements of a tag, a length and a value. The value of some
elements consists of elements again.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from unspool.errors import InvalidRequestError

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_SEQUENCE = 0x30
_OBJECT_ID = 0x06
_OCTETS = 0x04
_EXTENSIONS = 0xA3  # of a certificate's body, element [3]
_VERSION = 0xA0  # element [0]
_ALTERNATIVE_NAMES = bytes.fromhex("551d11")  # 2.5.29.17, subjectAltName
_DNS, _URI, _IP = 0x82, 0x86, 0x87  # kinds of such names
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime and GeneralizedTime, as RFC 5280 allows them

_LONG = 0x80
"""A length from here on says how many bytes the length itself takes."""

_LONGEST_LENGTH = 4
"""Bytes of a length. A certificate has less than 4 GiB."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The parts of a certificate that messages need.

    Attributes:
        names: the hosts, addresses and URIs that it is for (subjectAltName).
        not_before, not_after: the first and the last moment at which it is valid.
    """

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def parse_pem(data: bytes) -> Certificate:
    """Read the first certificate of a PEM file. Raises InvalidRequestError if there is none, or it is malformed."""
    found = _PEM.search(data)
    if found is None:
        raise InvalidRequestError("not a certificate in PEM")
    try:
        return parse_der(binascii.a2b_base64(found[1]))
    except binascii.Error as error:
        raise InvalidRequestError(f"not a certificate in PEM: {error}") from None


def parse_der(data: bytes) -> Certificate:
    """Read a certificate in DER. Raises InvalidRequestError if it is malformed."""
    try:
        (_, certificate), *_ = _elements(data)
        (_, body), *_ = _elements(certificate)
        parts = [part for part in _elements(body) if part[0] != _VERSION]
        _, _, _, (_, validity), *rest = parts  # serial number, algorithm, issuer; later subject and key
        (begin_tag, begin), (end_tag, end) = _elements(validity)
        names = tuple(name for tag, value in rest if tag == _EXTENSIONS for name in _names(value))
        return Certificate(names, _time(begin_tag, begin), _time(end_tag, end))
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidRequestError(f"not a certificate: {error}") from None


def _names(extensions: bytes) -> Iterator[str]:
    """Yield the alternative names in the extensions of a certificate."""
    for _, extension in _inside(extensions):
        (tag, which), *_, (value_tag, value) = _elements(extension)
        if (tag, which, value_tag) != (_OBJECT_ID, _ALTERNATIVE_NAMES, _OCTETS):
            continue
        for kind, name in _inside(value):
            if kind in (_DNS, _URI):
                yield name.decode("ascii")
            elif kind == _IP:
                yield str(ip_address(name))


def _inside(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of a sequence that is the only element of `data`."""
    ((tag, value),) = _elements(data)
    if tag != _SEQUENCE:
        raise ValueError("a sequence is missing")
    return _elements(value)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements in `data`, each with its tag and its value."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length >= _LONG:
            size = length - _LONG
            if not 1 <= size <= _LONGEST_LENGTH:
                raise ValueError("a length is too long")
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > len(data):
            raise ValueError("it is cut off")
        yield tag, data[position : position + length]
        position += length


def _time(tag: int, value: bytes) -> datetime:
    return datetime.strptime(value.decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC)
