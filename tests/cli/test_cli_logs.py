"""What a server's log leaves out."""

from __future__ import annotations

import logging

import pytest

from unspool.cli.logs import set_up_log


class ExecuteBatchError(Exception):
    """Has the name of gRPC's error for a message that could not be sent."""


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root logger without handlers."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)


def logged(logger: str, error: Exception, capsys: pytest.CaptureFixture[str]) -> str:
    """Log an exception; return what was printed."""
    logging.getLogger().handlers = []
    set_up_log("human", quiet=True)
    try:
        raise error
    except type(error):
        logging.getLogger(logger).exception("unexpected")
    return capsys.readouterr().err


def test_a_client_that_leaves_cannot_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback of gRPC about an answer that could not be sent is dropped; all others are logged."""
    assert logged("grpc._cython.cygrpc", ExecuteBatchError("gone"), capsys) == ""
    assert "Traceback" in logged("grpc._cython.cygrpc", ValueError("other"), capsys)
    assert "Traceback" in logged("unspool.server", ExecuteBatchError("ours"), capsys)
