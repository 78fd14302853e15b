"""Callers that show tokens of two kinds: of ours, and JWTs."""

from __future__ import annotations

from unspool.access.jwtkeys import JwtKeys
from unspool.access.tokenfile import TokenFile
from unspool.core.access import Credentials, Principal
from unspool.core.tokens import looks_like_token


class ByKind:
    """Identifies a caller by a token of the file if it begins as those do, and otherwise by a JWT.

    Args:
        tokens: knows our tokens.
        jwts: knows the others.
    """

    def __init__(self, tokens: TokenFile, jwts: JwtKeys) -> None:
        self._tokens = tokens
        self._jwts = jwts

    def __call__(self, shown: Credentials, /) -> Principal | None:
        """See `Authenticate`."""
        ours = shown.token is None or looks_like_token(shown.token)
        return self._tokens(shown) if ours else self._jwts(shown)

    @property
    def version(self) -> tuple[int, int]:
        """Changes when the tokens or the keys do."""
        return self._tokens.version, self._jwts.version
