"""The main task over real sockets: serve a directory and download a file completely."""

import os
from pathlib import Path

from unspool import Client, LocalStore
from unspool.testing import serve


async def test_a_served_file_arrives_whole_and_verified(tmp_path: Path) -> None:
    """The downloaded file equals the served one, and is verified against the server's checksum of the whole file."""
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
