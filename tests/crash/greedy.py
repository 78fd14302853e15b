"""A greedy client, to be run by tests as a process of its own: asks for the same in many streams, again and again.

Usage: greedy.py ADDRESS METHOD STREAMS REQUEST, the request being in hexadecimal. Prints a line for each message it is sent.
"""

import asyncio
import sys

import grpc

from unspool.rpc import wire

_CONNECTIONS = 10


async def main(address: str, method: str, streams: int, request: bytes) -> None:
    """Take all that comes, until killed."""
    # Each with a connection of its own, as clients on as many machines have.
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
