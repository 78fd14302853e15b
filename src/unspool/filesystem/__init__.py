"""Files of unspool servers for whatever reads through fsspec: pandas, pyarrow, DuckDB, zarr. Needs the extra `fsspec`.

fsspec finds these classes by the scheme of a URL, `unspool://HOST:PORT/NAME` or `unspools://HOST:PORT/NAME`.

filesystem.py   the file systems; hosts.py: their clients, one for each server; paths.py: paths, and what fsspec is told
listings.py     the methods that look; trees.py: that download and upload local files; writes.py: that write
file.py         a file that is open for reading; ahead.py: reading ahead; written.py: files that are open for writing
"""

from unspool.core.extras import extra

with extra("fsspec"):
    from unspool.filesystem.filesystem import SecureUnspoolFileSystem, UnspoolFileSystem

__all__ = ["SecureUnspoolFileSystem", "UnspoolFileSystem"]
