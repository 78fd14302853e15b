"""The bearer token that a client sends with every call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import grpc

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


class _Showing:
    """Sends a token with every call of a channel."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    async def _with_token(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), await self._bearer.header())
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )


class _ShowingInCalls(_Showing, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(await self._with_token(client_call_details), request)


class _ShowingInStreams(_Showing, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(await self._with_token(client_call_details), request)


def interceptors(bearer: Bearer | None) -> Sequence[grpc.aio.ClientInterceptor]:
    """Return the interceptors with which a channel sends a token with every call."""
    # Two of them, because an interceptor of gRPC is for one kind of calls only.
    return () if bearer is None else (_ShowingInCalls(bearer), _ShowingInStreams(bearer))
