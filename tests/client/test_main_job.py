"""The main job over real sockets: serve a directory, get a file, have it whole."""

import os
from pathlib import Path

from unspool import Client, LocalStore
from unspool.testing import serve


async def test_a_served_file_arrives_whole_and_verified(tmp_path: Path) -> None:
    """What is served is what arrives, verified against the server's checksum of the whole."""
    (tmp_path / "served").mkdir()
    data = os.urandom(3 << 20)
    (tmp_path / "served" / "a.bin").write_bytes(data)
    store = LocalStore(tmp_path / "served")
    async with serve(store) as address, Client(address) as client:
        result = await client.get("a.bin", tmp_path / "b.bin")
    await store.aclose()
    assert (tmp_path / "b.bin").read_bytes() == data
    assert result.verified == "file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bin", "served"]
