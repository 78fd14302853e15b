"""What every test may rely on: profiles for the generated ones, and the deep ones only when asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import HealthCheck, settings

from unspool.testing import ASSERTING

pytest.register_assert_rewrite(*ASSERTING)

# `ci` is the same every time; `deep` looks for what has not been seen yet.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("deep" if os.environ.get("UNSPOOL_TEST_DEEP") else "ci")


def pytest_configure() -> None:
    """Keep gRPC's poller for the whole session, and have interrupts interrupt.

    The poller ends with the last channel or server that is collected, whenever that is, and waits for its thread then: in the
    middle of some other test, for as long as a connection takes to die that a test of stalls has left.
    """
    grpc.aio.init_grpc_aio()
    # A job in the background of a script inherits that Ctrl-C is ignored, and so would all programs that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the deep tests unless `make test-deep` asks for them."""
    if os.environ.get("UNSPOOL_TEST_DEEP"):
        return
    deep = [item for item in items if item.get_closest_marker("deep")]
    config.hook.pytest_deselected(items=deep)
    items[:] = [item for item in items if not item.get_closest_marker("deep")]


@pytest.fixture(scope="session")
def weed_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a SeaweedFS with one bucket, started once."""
    from stores.objectservers import seaweedfs  # noqa: PLC0415 - few tests need obstore

    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as port:
        yield port


@pytest.fixture(scope="session")
def gateway_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a versitygw with one bucket, started once."""
    from stores.objectservers import versitygw  # noqa: PLC0415 - few tests need obstore

    with versitygw(tmp_path_factory.mktemp("versitygw")) as port:
        yield port


@pytest.fixture(scope="session")
def azurite_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an Azurite with one container, started once."""
    from stores.objectservers import azurite  # noqa: PLC0415 - few tests need obstore

    with azurite(tmp_path_factory.mktemp("azurite")) as port:
        yield port
