"""Addresses of several servers with the same files: a list, or a name that stands for all of them."""

from __future__ import annotations

import pytest

from unspool.core.address import (
    Address,
    host_with_several_addresses,
    is_loopback,
    is_server,
    is_url,
    parse_address,
    parse_server,
    servers_of,
)
from unspool.core.tls import is_secure, with_tls
from unspool.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "target", "servers"),
    [
        ("a:1,b:2/x/y", "a:1,b:2", ["a:1", "b:2"]),
        ("a,b:2,a:50051/x/y", "a:50051,b:2", ["a:50051", "b:2"]),
        ("unspool://a,[::1]:2/x/y", "a:50051,[::1]:2", ["a:50051", "[::1]:2"]),
        ("unspools://a,b/x/y", "unspools://a:50051,b:50051", ["unspools://a:50051", "unspools://b:50051"]),
        ("a/x/y", "a:50051", ["a:50051"]),
        ("dns:///a/x/y", "dns:///a:50051", ["dns:///a:50051"]),
        ("unspools://dns:///a:1/x/y", "unspools://dns:///a:1", ["unspools://dns:///a:1"]),
        ("xds:///a/x/y", "xds:///a", ["xds:///a"]),
    ],
)
def test_a_list_is_read_as_its_servers(text: str, target: str, servers: list[str]) -> None:
    """Each has its own port, the scheme counts for all, and a server that is named twice is one."""
    address = parse_address(text)
    assert address == Address(target, "x/y")
    assert parse_address(str(address)) == address
    assert parse_server(target) == target
    assert list(servers_of(target)) == servers


def test_grpc_resolves_its_own_lists() -> None:
    """A comma in a target that gRPC resolves is not ours to split."""
    assert servers_of("ipv4:10.0.0.1:1,10.0.0.2:2") == ("ipv4:10.0.0.1:1,10.0.0.2:2",)
    assert servers_of("unix:/run/a,b") == ("unix:/run/a,b",)


@pytest.mark.parametrize(
    "text", ["a,/x", ",a/x", "a,,b/x", "a:1,b:x/x", "a:1,unix:/run/b:/x", "dns:///", "dns:///a:x/y", "xds:///"]
)
def test_a_list_with_a_bad_server_is_refused(text: str) -> None:
    """One server that is none makes the URL invalid."""
    with pytest.raises(InvalidRequestError, match=r"does not name a"):
        parse_address(text)


def test_a_list_is_told_from_a_path() -> None:
    """A list with a port for each server is a URL; without ports it may be a path, and needs a scheme."""
    assert is_url("a:1,[::1]:2/x")
    assert is_url("dns:///a/x")
    assert not is_url("a,b/x")
    assert is_server("a:1,b:2")


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("dns:///a.example:1", ("a.example", 1)),
        ("dns:///a.example", ("a.example", 50051)),
        ("unspools://dns:///[::1]:1", ("::1", 1)),
        ("a.example:1", None),
        ("dns:a.example:1", None),
    ],
)
def test_only_three_slashes_make_a_host_stand_for_several_servers(target: str, where: tuple[str, int] | None) -> None:
    """Other names are one server, wherever it is."""
    assert host_with_several_addresses(target) == where


def test_a_list_is_as_secure_as_its_least_secure_server() -> None:
    """It is on this machine only if all are, and TLS is for all."""
    assert is_loopback("127.0.0.1:1,[::1]:2")
    assert not is_loopback("127.0.0.1:1,10.0.0.1:2")
    assert not is_secure("127.0.0.1:1,10.0.0.1:2")
    assert is_secure(with_tls("127.0.0.1:1,10.0.0.1:2"))
