"""Callers that show a JWT (RFC 7519), signed by somebody whose public keys are in a file.

Rule 1: keys come from a file only, which is read again when it changes. Nothing is fetched: otherwise a hostile caller could
        make the server fetch keys with every token that names an unknown one.
Rule 2: the audience and the issuer are always checked, and a token without an end is refused.
Rule 3: the file decides which algorithms are used, not the token; all are asymmetric.
Rule 4: verdicts are remembered, a bounded number of them. Bad tokens cannot push out what is known of good ones.
"""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unspool.access.files import FromFile, WatchedFile
from unspool.core.access import Credentials, Principal, by_certificate
from unspool.core.extras import extra
from unspool.core.tokens import digest_of
from unspool.errors import InvalidRequestError, UnauthenticatedError

KIND = "jwt:"
"""What the name of a principal begins with; the subject follows."""

_LONGEST = 16 * 1024
"""Most characters of a token. gRPC accepts 8 KiB of metadata, unless it is told otherwise."""

_MOST_KEYS = 100
"""Most keys of a file. A token that does not say which one it is signed with is tried with each."""

_MOST_VERDICTS = 10_000
"""Verdicts that are remembered, of good and of bad tokens each: about 3 MiB."""

_LEEWAY = 30
"""Seconds that the clocks of the server and the issuer may differ (RFC 7519 allows a few minutes at most)."""

_LONGEST_SUBJECT = 255

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key: its id in the file, which may be missing, and the only algorithms it is used with."""

    id: str | None
    algorithms: tuple[str, ...]
    key: Any


class JwtKeys(FromFile[list[_Key]]):
    """Identifies callers by JWTs: `Server(store, authenticate=JwtKeys("keys.json", audience="files", issuer="https://..."))`.

    The principal is `jwt:` and the token's subject. A caller without a token is known by its certificate, if it has one. Needs
    PyJWT (`pip install unspool[jwt]`).

    Args:
        path: the issuer's public keys: a JWKS (RFC 7517), or one key in PEM. It is looked at once a second, while calls are
            made; a file that makes no sense changes nothing, which is logged and counted.
        audience: whom the tokens must be for.
        issuer: who must have made them.
        clock: seconds since 1970.

    Raises:
        MissingExtraError: PyJWT is not installed.
        LocalFileError: the file cannot be read.
        InvalidRequestError: it has no keys, or others than public ones.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, audience: str, issuer: str, clock: Callable[[], float] = time.time
    ) -> None:
        with extra("jwt"):
            import cryptography  # noqa: F401, PLC0415 - as above
            import jwt  # noqa: PLC0415 - an extra
        self._jwt = jwt
        self._audience, self._issuer = audience, issuer
        self._clock = clock
        super().__init__(WatchedFile(path, _parse, "JWT keys"))
        self._good: OrderedDict[str, Principal] = OrderedDict()
        self._bad: OrderedDict[str, str] = OrderedDict()
        self._version = 0

    def __call__(self, shown: Credentials, /) -> Principal | None:
        """See `Authenticate`."""
        if shown.token is None:
            return by_certificate(shown)
        if len(shown.token) > _LONGEST:
            raise UnauthenticatedError("the token is too long")
        keys = self._file.look()
        if self._file.version != self._version:
            self._version = self._file.version
            self._good.clear()
            self._bad.clear()
        digest = digest_of(shown.token)
        if (known := self._good.get(digest)) is not None:
            self._good.move_to_end(digest)
            if known.expires is not None and self._clock() >= known.expires:
                raise UnauthenticatedError("the token is expired; ask for a new one")
            return known
        if (why := self._bad.get(digest)) is None:
            try:
                principal = self._verified(shown.token, keys)
            except UnauthenticatedError as error:
                why = error.message
                if error.retry_after is None:  # a token that is not valid yet will be
                    _remember(self._bad, digest, why)
            else:
                _remember(self._good, digest, principal)
                return principal
        raise UnauthenticatedError(why)

    def _verified(self, token: str, keys: Sequence[_Key]) -> Principal:
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise UnauthenticatedError("the token is not a JWT") from None
        wanted = header.get("kid")
        fitting = [
            key for key in keys if header.get("alg") in key.algorithms and (None in (wanted, key.id) or key.id == wanted)
        ]
        if not fitting:
            raise UnauthenticatedError("the token is signed with a key that the server does not know")
        for key in fitting:
            try:
                claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=list(key.algorithms),
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=_LEEWAY,
                    options={"require": ["exp", "iss", "aud", "sub"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ImmatureSignatureError:
                raise UnauthenticatedError("the token is not valid yet", retry_after=_LEEWAY) from None
            except jwt.ExpiredSignatureError:
                raise UnauthenticatedError("the token is expired; ask for a new one") from None
            except jwt.InvalidAudienceError:
                raise UnauthenticatedError("the token is for somebody else (its audience)") from None
            except jwt.InvalidIssuerError:
                raise UnauthenticatedError("the token is from somebody else (its issuer)") from None
            except jwt.MissingRequiredClaimError as error:
                raise UnauthenticatedError(f"the token has no {error.claim!r}") from None
            except jwt.PyJWTError:
                raise UnauthenticatedError("the token is not a valid JWT") from None
            return _principal(claims)
        raise UnauthenticatedError("the token's signature is wrong")


def _principal(claims: dict[str, Any]) -> Principal:
    subject = claims["sub"]
    if not subject or not subject.isprintable() or len(subject) > _LONGEST_SUBJECT:
        raise UnauthenticatedError("the token's subject is empty, too long or not printable")
    return Principal((f"{KIND}{subject}",), float(claims["exp"]) + _LEEWAY)


def _remember(verdicts: OrderedDict[str, Any], digest: str, verdict: object) -> None:
    verdicts[digest] = verdict
    if len(verdicts) > _MOST_VERDICTS:
        verdicts.popitem(last=False)


def _parse(text: str, shown: str) -> list[_Key]:
    """Parse a file of keys: a JWKS, or a public key in PEM."""
    keys = _parse_pem(text, shown) if text.lstrip().startswith("-----BEGIN") else _parse_jwks(text, shown)
    if not keys:
        raise InvalidRequestError(f"{shown}: there is no key in it that signs tokens")
    if len(keys) > _MOST_KEYS:
        raise InvalidRequestError(f"{shown}: there are {len(keys)} keys in it, and at most {_MOST_KEYS} can be used")
    return keys


def _parse_pem(text: str, shown: str) -> list[_Key]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(text.encode())
    except Exception:  # noqa: BLE001 - it raises errors of many kinds
        raise InvalidRequestError(f"{shown}: line 1: not a public key in PEM (private keys do not belong here)") from None
    match key:
        case rsa.RSAPublicKey():
            return [_Key(None, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), key)]
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return [_Key(None, (_CURVES[key.curve.name],), key)]
        case ed25519.Ed25519PublicKey():
            return [_Key(None, ("EdDSA",), key)]
    raise InvalidRequestError(f"{shown}: line 1: keys of this kind sign no tokens")


def _parse_jwks(text: str, shown: str) -> list[_Key]:
    import jwt  # noqa: PLC0415 - an extra

    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"{shown}: line {error.lineno}: neither JSON nor PEM") from None
    except (RecursionError, ValueError):  # numbers of some thousand digits, too
        raise InvalidRequestError(f"{shown}: line 1: neither JSON nor PEM") from None
    listed = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(listed, list):
        raise InvalidRequestError(f"{shown}: line 1: not a JWKS, which is an object with a list of `keys`")
    found: list[_Key] = []
    for number, one in enumerate(listed, 1):
        if not isinstance(one, dict):
            raise InvalidRequestError(f"{shown}: key {number}: not an object")
        if one.get("use", "sig") != "sig":
            continue
        if one.get("kty") == "oct" or "d" in one:
            raise InvalidRequestError(f"{shown}: key {number}: it is secret; only public keys belong here")
        try:
            key = jwt.PyJWK.from_dict(one)
        except Exception:  # noqa: BLE001 - it raises errors of many kinds
            raise InvalidRequestError(f"{shown}: key {number}: not a key of a kind that signs tokens") from None
        identity = one.get("kid")
        found.append(_Key(identity if isinstance(identity, str) else None, (key.algorithm_name,), key.key))
    return found
