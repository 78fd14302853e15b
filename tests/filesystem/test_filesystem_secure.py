"""The file system over TLS and with tokens, against `unspool serve`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
import pytest

from authority import Authority
from processes import serving
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.errors import TlsError, UnauthenticatedError
from unspool.filesystem import SecureUnspoolFileSystem, UnspoolFileSystem

ALICE = write_token(b"a" * 32)
MALLORY = write_token(b"m" * 32)


@dataclass(frozen=True)
class Guarded:
    """Where a file is served to whoever has a token, and the authority of the server's certificate."""

    path: str
    ca: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve a file over TLS to Alice."""
    base = tmp_path_factory.mktemp("base")
    (base / "root").mkdir()
    (base / "root" / "a").write_bytes(b"gold")
    authority = Authority(base / "ca")
    pair = authority.issue("server")
    (base / "tokens").write_text(f"{ListedToken('alice', digest_of(ALICE), 0).line()}\n")
    options = ("--cert", str(pair.cert), "--key", str(pair.key), "--tokens", str(base / "tokens"))
    with serving(base / "root", base / "log", *options) as server:
        yield Guarded(f"{server.address.removeprefix('unspools://')}/a", str(authority.file))


def test_storage_options_secure_what_reads_a_url(guarded: Guarded) -> None:
    """A URL over TLS with a token and an authority in `storage_options` is all that a reader needs."""
    with fsspec.open(f"unspools://{guarded.path}", token=ALICE, ca=guarded.ca) as file:
        assert file.read() == b"gold"
        assert file.full_name == f"unspools://{guarded.path}"
    fs = UnspoolFileSystem(tls=True, token=ALICE, ca=guarded.ca, skip_instance_cache=True)
    assert fs.cat_file(guarded.path) == b"gold"


def test_file_systems_do_not_lend_each_other_their_tokens(guarded: Guarded) -> None:
    """One without the token, or with another one, is refused, while one that has it is cached and connected."""
    assert SecureUnspoolFileSystem(token=ALICE, ca=guarded.ca).cat_file(guarded.path) == b"gold"
    for other in (SecureUnspoolFileSystem(token=MALLORY, ca=guarded.ca), SecureUnspoolFileSystem(ca=guarded.ca)):
        with pytest.raises(UnauthenticatedError) as refused:
            other.exists(guarded.path)
        assert MALLORY not in str(refused.value)


def test_a_scheme_is_never_another(guarded: Guarded) -> None:
    """`unspools://` never speaks in clear, even if told so; `unspool://` does not turn to TLS by itself."""
    assert SecureUnspoolFileSystem(tls=False, token=ALICE, ca=guarded.ca).cat_file(guarded.path) == b"gold"
    with pytest.raises(TlsError):
        UnspoolFileSystem().cat_file(guarded.path)
