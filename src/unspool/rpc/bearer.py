"""The bearer token that a client sends with every call."""

from __future__ import annotations

import inspect

from unspool.errors import InvalidRequestError
from unspool.options import Token

Header = tuple[str, str]


class Bearer:
    """A token, or a function that returns one. It is called for the first call, and after a server has refused a token.

    All connections of a client share it. Its `repr` has no token.

    Args:
        token: the token, or the function.
    """

    def __init__(self, token: Token) -> None:
        self._token = token
        self._header: Header | None = None

    async def header(self) -> Header:
        """Return the metadata to send with a call. Raises InvalidRequestError if the token is not valid in a header."""
        if self._header is None:
            self._header = await self._ask()
        return self._header

    async def renewed(self, refused: Header) -> bool:
        """Return whether the function, if there is one, now returns another token than the one that a server refused."""
        if self._header == refused and callable(self._token):
            self._header = await self._ask()
        return self._header != refused

    async def _ask(self) -> Header:
        given = self._token() if callable(self._token) else self._token
        token = await given if inspect.isawaitable(given) else given
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
            raise InvalidRequestError("the token is empty, or has characters that no token has (it is one word of ASCII)")
        return "authorization", f"Bearer {token}"
