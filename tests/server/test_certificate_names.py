"""Callers that are identified by certificates: their names, the rules for them, and the precedence of a token."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from unspool import Client, MemoryStore, RetryPolicy, Server, TransferOptions
from unspool.access import TokenFile
from unspool.core.access import Credentials
from unspool.core.rules import parse_rules
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.errors import PermissionDeniedError, UnauthenticatedError
from unspool.server.report import CallEnd
from unspool.testing import Recorder

ALICE = write_token(b"a" * 32)

ONCE = TransferOptions(retry=RetryPolicy(budget=1))

FILES = {"spiffe/a": b"s", "dns/a": b"d", "subject/a": b"u", "token/a": b"t", "open/a": b"o"}

RULES = """\
[[rule]]
prefix = "spiffe"
who = "spiffe://example.org/trainer"
may = "read"

[[rule]]
prefix = "dns"
who = "dns:host.example"
may = "read"

[[rule]]
prefix = "subject"
who = "subject:CN=trainer,O=Example"
may = "read"

[[rule]]
prefix = "token"
who = "alice"
may = "read"

[[rule]]
prefix = "open"
who = "@identified"
may = "read"
"""


@dataclass(frozen=True)
class Files:
    """The certificates of an authority, a server and a client."""

    ca: Path
    cert: Path
    key: Path


def name(common: str) -> x509.Name:
    """Return a subject."""
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return one certificate for both ends, with names of every kind."""
    directory = tmp_path_factory.mktemp("certificates")
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)

    def signed(builder: x509.CertificateBuilder, subject: str) -> bytes:
        made = builder.subject_name(name(subject)).issuer_name(name("ca")).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        return made.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.DNSName("host.example"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.RFC822Name("trainer@example.org"),
        x509.UniformResourceIdentifier("spiffe://example.org/trainer"),
    ]
    ca = x509.CertificateBuilder(public_key=ca_key.public_key())
    one = x509.CertificateBuilder(public_key=key.public_key())
    made = Files(directory / "ca", directory / "cert", directory / "key")
    made.ca.write_bytes(signed(ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True), "ca"))
    made.cert.write_bytes(signed(one.add_extension(x509.SubjectAlternativeName(names), critical=False), "trainer"))
    encrypted = serialization.NoEncryption()
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted))
    return made


@pytest.fixture
async def server(files: Files, tmp_path: Path) -> AsyncGenerator[tuple[Server, Recorder[CallEnd]], None]:
    """Serve over mutual TLS, TLS and without TLS, with rules and tokens."""
    (tmp_path / "tokens").write_text(ListedToken("alice", digest_of(ALICE), 0).line())
    ended = Recorder[CallEnd]()
    async with Server(
        MemoryStore(FILES),
        ["mtls:127.0.0.1:0", "tls:127.0.0.1:0", "plain:127.0.0.1:0"],
        observers=[ended],
        cert=files.cert,
        key=files.key,
        client_ca=files.ca,
        authenticate=TokenFile(tmp_path / "tokens"),
        authorize=parse_rules(RULES, "rules"),
    ) as made:
        yield made, ended


async def readable(client: Client) -> set[str]:
    """Return the names of the files that a client can read."""
    found = set()
    for one in FILES:
        try:
            await client.read(one)
            found.add(one.partition("/")[0])
        except (PermissionDeniedError, UnauthenticatedError):
            pass
    return found


async def test_rules_know_the_names_in_a_certificate(server: tuple[Server, Recorder[CallEnd]], files: Files) -> None:
    """A SPIFFE id, a DNS name and the subject each give their rights; the log has the SPIFFE id; a token takes precedence."""
    (mutual, tls, _), ended = server[0].addresses, server[1]
    own = {"ca": files.ca, "cert": files.cert, "key": files.key}
    async with Client(mutual, options=ONCE, **own) as one:  # type: ignore[arg-type]
        assert await readable(one) == {"spiffe", "dns", "subject", "open"}
    assert {end.principal for end in ended} == {"spiffe://example.org/trainer"}
    async with Client(mutual, options=ONCE, token=ALICE, **own) as one:  # type: ignore[arg-type]
        assert await readable(one) == {"token", "open"}
    async with Client(mutual, options=ONCE, token="wrong", **own) as one:  # type: ignore[arg-type]
        assert await readable(one) == set()
    async with Client(tls, options=ONCE, ca=files.ca) as one:
        assert await readable(one) == set()
    async with Client(tls, options=ONCE, ca=files.ca, token=ALICE) as one:
        assert await readable(one) == {"token", "open"}


async def test_every_name_is_given(files: Files) -> None:
    """`authenticate` gets all names of the certificate, the SPIFFE id first, and none without a certificate."""
    seen: list[Credentials] = []

    def look(shown: Credentials) -> None:
        seen.append(shown)

    listen = ["mtls:127.0.0.1:0", "tls:127.0.0.1:0"]
    own = {"cert": files.cert, "key": files.key}
    async with Server(MemoryStore(FILES), listen, client_ca=files.ca, authenticate=look, **own) as server:  # type: ignore[arg-type]
        for address, shown in zip(server.addresses, (own, {}), strict=True):
            async with Client(address, options=ONCE, ca=files.ca, **shown) as one:  # type: ignore[arg-type]
                with pytest.raises(UnauthenticatedError):
                    await one.stat("open/a")
    assert seen[0].certificate == (
        "spiffe://example.org/trainer",
        "uri:spiffe://example.org/trainer",
        "dns:localhost",
        "dns:host.example",
        "email:trainer@example.org",
        "ip:127.0.0.1",
        "subject:CN=trainer,O=Example",
    )
    assert [one.secure for one in seen] == [True, True]
    assert seen[1].certificate == ()


async def test_without_rules_the_log_knows_who_it_is(files: Files) -> None:
    """A server with mutual TLS and without rules serves every client, and logs its name."""
    ended = Recorder[CallEnd]()
    listen = ["mtls:127.0.0.1:0", "plain:127.0.0.1:0"]
    own = {"cert": files.cert, "key": files.key}
    async with Server(MemoryStore(FILES), listen, observers=[ended], client_ca=files.ca, **own) as server:  # type: ignore[arg-type]
        async with Client(server.addresses[0], options=ONCE, ca=files.ca, **own) as one:  # type: ignore[arg-type]
            assert await one.read("open/a") == b"o"
        async with Client(server.addresses[1], options=ONCE) as one:
            assert await one.read("open/a") == b"o"
    assert [end.principal for end in ended] == ["spiffe://example.org/trainer", ""]
