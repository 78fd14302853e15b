"""Certificates: what they say of themselves is read as others read it, and no bytes break the reader."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.certificate import Certificate, parse_der, parse_pem
from unspool.errors import InvalidRequestError

NAMES = ("files.example", "*.files.example", "127.0.0.1", "2001:db8::1", "me@files.example")


def issued(not_before: datetime | None = None, not_after: datetime | None = None) -> tuple[bytes, bytes]:
    """Return a certificate, as PEM and as DER."""
    pem = trustme.CA().issue_cert(*NAMES, not_before=not_before, not_after=not_after).cert_chain_pems[0].bytes()
    return pem, base64.b64decode(b"".join(pem.strip().split(b"\n")[1:-1]))


PEM, DER = issued()


@pytest.mark.parametrize("years", [1, 30], ids=["UTCTime", "GeneralizedTime"])
def test_a_certificate_is_read_as_others_read_it(years: int) -> None:
    """Hosts, addresses, and the two times, in either form that certificates have for them."""
    now = datetime.now(UTC).replace(microsecond=0)
    pem, der = issued(not_before=now, not_after=now + timedelta(days=365 * years))
    read = parse_pem(b"comments before\n" + pem + b"and after\n" + PEM)
    assert read == parse_der(der)
    theirs = x509.load_pem_x509_certificate(pem)
    assert (read.not_before, read.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    assert read.names == NAMES[:-1]


def test_a_certificate_without_names_has_none() -> None:
    """An authority's has no alternative names, and old ones have no extensions at all."""
    pem = trustme.CA().cert_pem.bytes()
    assert parse_pem(pem).names == ()
    time = b"\x17\x0d260101000000Z"
    body = element(0x02, b"\x01") + element(0x30) + element(0x30) + element(0x30, time + time) + element(0x30) + element(0x30)
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_der(element(0x30, element(0x30, body))) == Certificate((), new_year, new_year)


def element(tag: int, value: bytes = b"") -> bytes:
    """Return an element in DER, shorter than 128 bytes."""
    return bytes([tag, len(value)]) + value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
)
def test_what_is_no_pem_is_refused(data: bytes) -> None:
    """No certificate, broken base64 and a key are told as what they are not."""
    with pytest.raises(InvalidRequestError, match="not a certificate"):
        parse_pem(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30",
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"\x30\x80",
        b"\x30\x05\x00",
        DER[:-1],
        DER.replace(b"\x17\x0d", b"\x18\x0d"),
        DER.replace(b"\x17\x0d", b"\x19\x0d"),
    ],
)
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    """Bytes that are cut off, too long, or have another kind of time are refused."""
    with pytest.raises(InvalidRequestError, match="not a certificate"):
        parse_der(data)


def test_extensions_that_are_no_sequence_are_refused() -> None:
    """Where the list of extensions should be is something else."""
    time = b"\x17\x0d260101000000Z"
    body = element(0x02, b"\x01") + element(0x30) + element(0x30) + element(0x30, time + time) + element(0xA3, element(0x04))
    with pytest.raises(InvalidRequestError, match="a sequence is missing"):
        parse_der(element(0x30, element(0x30, body)))


@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(DER)))
def test_no_bytes_break_the_reader(changes: list[tuple[int, int]], length: int) -> None:
    """A damaged certificate is read, or is an InvalidRequestError."""
    damaged = bytearray(DER)
    for position, value in changes:
        damaged[position] = value
    for data in (bytes(damaged), bytes(damaged[:length])):
        with suppress(InvalidRequestError):
            parse_der(data)


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(data: bytes) -> None:
    """Any bytes, also between the lines of a PEM, are a certificate or an InvalidRequestError."""
    for text in (data, b"-----BEGIN CERTIFICATE-----" + base64.b64encode(data) + b"-----END CERTIFICATE-----"):
        with suppress(InvalidRequestError):
            parse_pem(text)
