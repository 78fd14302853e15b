"""Bearer tokens: how they are written, and the file that lists those of a server.

A token is `unspool_`, 43 characters that hold 256 random bits, and 6 characters that hold their CRC32. The prefix lets scanners
find leaked tokens (`unspool_[0-9A-Za-z]{49}`), and the checksum lets them, and us, tell a token from a typing error.

Rule 1: the file has no token, only its SHA-256. That is enough, because 256 random bits cannot be guessed: a slow hash would
        only slow down the server.
Rule 2: the file only grows: a token that is revoked stays listed, and a line at the end says that it is revoked. So two
        programs can add lines at the same time.
Rule 3: no message quotes a token, or a line of the file.

One line of the file is one of

    token NAME SHA256 CREATED EXPIRES    EXPIRES is `-` if the token never does
    revoke SHA256 WHEN

with times such as `2026-11-29T07:24:15Z`. Blank lines and lines that begin with `#` are ignored.
"""

from __future__ import annotations

import re
from binascii import crc32
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from hashlib import sha256

from unspool.core.value import value
from unspool.errors import InvalidRequestError

PREFIX = "unspool_"
SECRET_BYTES = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_DIGITS = 43
"""Digits of 32 bytes in base 62."""

_CHECK_DIGITS = 6
"""Digits of a CRC32 in base 62."""

_TOKEN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_DIGITS + _CHECK_DIGITS}}}")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,63}")

_DIGEST = re.compile(r"[0-9a-f]{64}")

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

_ID_DIGITS = 12
"""Hex digits by which people name a token: 48 bits, so two tokens of one file do not share them."""


def write_token(secret: bytes) -> str:
    """Return the token that holds 32 secret bytes."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a token has {SECRET_BYTES} secret bytes, not {len(secret)}")
    body = _in_digits(int.from_bytes(secret), _SECRET_DIGITS)
    return f"{PREFIX}{body}{_check_digits(body)}"


def is_token(text: str) -> bool:
    """Whether a text is a well-formed token, without a typing error. A server may know it or not."""
    if _TOKEN.fullmatch(text) is None:
        return False
    body = text[len(PREFIX) : -_CHECK_DIGITS]
    return _check_digits(body) == text[-_CHECK_DIGITS:]


def looks_like_token(text: str) -> bool:
    """Whether a text begins as our tokens do, with or without a typing error."""
    return text.startswith(PREFIX)


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token, in hex digits."""
    return sha256(token.encode(errors="replace")).hexdigest()


def _check_digits(body: str) -> str:
    return _in_digits(crc32(body.encode()), _CHECK_DIGITS)


def _in_digits(number: int, count: int) -> str:
    digits = []
    for _ in range(count):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


@value
class ListedToken:
    """A token as the file lists it. Times are seconds since 1970 UTC.

    Attributes:
        name: the caller that it identifies.
        digest: its SHA-256, in hex digits.
        created: when it was made.
        expires: when it ends; None for never.
        revoked: when it was revoked; None if it was not.
    """

    name: str
    digest: str
    created: int
    expires: int | None = None
    revoked: int | None = None

    @property
    def id(self) -> str:
        """The first digits of the digest, by which people name the token."""
        return self.digest[:_ID_DIGITS]

    def state(self, now: float) -> str:
        """Return `valid`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "valid"

    def line(self) -> str:
        """Return the line that adds the token to a file, without its line end."""
        return f"token {self.name} {self.digest} {write_time(self.created)} {write_time(self.expires)}"

    def revocation(self, when: int) -> str:
        """Return the line that revokes the token, without its line end."""
        return f"revoke {self.digest} {write_time(when)}"


@value
class Tokens:
    """The tokens of a file, by their digest."""

    by_digest: Mapping[str, ListedToken] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ListedToken]:
        return iter(self.by_digest.values())

    def __len__(self) -> int:
        return len(self.by_digest)

    def find(self, token: str) -> ListedToken | None:
        """Return the listed token, whatever its state.

        The search is for the digest. Its duration shows nothing about a token, because a caller cannot choose a token's digest.
        """
        return self.by_digest.get(digest_of(token))

    def named(self, which: str) -> list[ListedToken]:
        """Return the tokens of a name, or the one with this id, that are not revoked.

        Raises:
            InvalidRequestError: there is none.
        """
        found = [token for token in self if which in (token.name, token.id, token.digest) and token.revoked is None]
        if not found:
            shown = "this" if looks_like_token(which) else repr(which)
            raise InvalidRequestError(f"{shown} is not the name or the id of a token that could be revoked")
        return found


def check_principal(name: str) -> str:
    """Return a name that a token can have.

    Raises:
        InvalidRequestError: it is no such name.
    """
    if looks_like_token(name):
        raise InvalidRequestError("a token cannot name a token; whoever could read it here may use it: revoke it")
    if _NAME.fullmatch(name) is None:
        raise InvalidRequestError(
            f"{name!r} cannot name a token: use up to 64 letters, digits and . _ + @ - , beginning with a letter or digit"
        )
    return name


def parse_tokens(text: str, shown: str) -> Tokens:
    """Parse a file of tokens. Error messages name it `shown`.

    Raises:
        InvalidRequestError: a line is not one of the format, or revokes a token that no line before it lists.
    """
    found: dict[str, ListedToken] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            _add(found, words)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{shown}: line {number}: {error.message}") from None
    return Tokens(found)


def _add(found: dict[str, ListedToken], words: list[str]) -> None:
    match words:
        case ["token", name, digest, created, expires] if _DIGEST.fullmatch(digest):
            if digest in found:
                raise InvalidRequestError("this token is listed already")
            made = _parse_time(created)
            found[digest] = ListedToken(check_principal(name), digest, made, None if expires == "-" else _parse_time(expires))
        case ["revoke", digest, when] if _DIGEST.fullmatch(digest):
            if digest not in found:
                raise InvalidRequestError("no line before it lists the token that it revokes")
            found[digest] = replace(found[digest], revoked=_parse_time(when))
        case _:
            raise InvalidRequestError("neither `token NAME SHA256 CREATED EXPIRES` nor `revoke SHA256 WHEN`")


def write_time(when: int | None) -> str:
    """Return a time as the file has it; `-` for None."""
    return "-" if when is None else datetime.fromtimestamp(when, UTC).strftime(_TIME_FORMAT)


def _parse_time(text: str) -> int:
    if _TIME.fullmatch(text):
        try:
            return int(datetime.fromisoformat(text).timestamp())
        except ValueError:
            pass
    raise InvalidRequestError("not a time such as 2026-11-29T07:24:15Z")
