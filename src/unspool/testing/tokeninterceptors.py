"""Sends a token with every call of a gRPC channel that a conformance check makes its calls over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from unspool.rpc.bearer import Bearer


class _TokenInterceptor:
    """Sends a token with every call of a channel."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    async def _with_token(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), await self._bearer.header())
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )


class _OfUnaryCalls(_TokenInterceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(await self._with_token(client_call_details), request)


class _OfStreams(_TokenInterceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(await self._with_token(client_call_details), request)


class _OfTwoWayStreams(_TokenInterceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(await self._with_token(client_call_details), request_iterator)


def interceptors(bearer: Bearer | None) -> Sequence[grpc.aio.ClientInterceptor]:
    """Return the interceptors with which a channel sends a token with every call."""
    # Three of them, because an interceptor of gRPC is for one kind of calls only.
    return () if bearer is None else (_OfUnaryCalls(bearer), _OfStreams(bearer), _OfTwoWayStreams(bearer))
