"""A greedy client, which tests run as a process: it sends the same request in many streams, again and again.

Usage: greedy.py ADDRESS METHOD STREAMS REQUEST, the request in hexadecimal. Prints a line for each message received.
"""

import asyncio
import sys

import grpc

from unspool.rpc import wire

_CONNECTIONS = 10


async def main(address: str, method: str, streams: int, request: bytes) -> None:
    """Receive all messages, until killed."""
    # Each stream has a connection of its own, as if on many machines.
    channels = [
        grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)])
        for _ in range(_CONNECTIONS)
    ]

    async def take(number: int) -> None:
        call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channels[number % _CONNECTIONS].unary_stream(
            f"/{wire.SERVICE}/{method}"
        )
        while True:
            async for _ in call(request):
                sys.stdout.write(f"{number}\n")
                sys.stdout.flush()

    await asyncio.gather(*map(take, range(streams)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4])))
