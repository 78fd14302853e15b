"""Ask a server of unspool for its health: `python health.py unix:/run/unspool/health.sock`, or HOST:PORT in clear.

Exit code 0 if it serves, 1 if it does not (it drains), 2 if nothing answers. For probes of containers; orchestrators that speak
grpc.health.v1 themselves do not need it.
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "unspool.v1.FileService"


def main(target: str) -> int:
    """Return the exit code."""
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=4)
        except grpc.RpcError as error:
            print(f"{target}: {error.details()}", file=sys.stderr)
            return 2
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
