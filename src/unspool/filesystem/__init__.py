"""Files of unspool servers for whatever reads through fsspec: pandas, pyarrow, DuckDB, zarr. Needs the extra `fsspec`.

fsspec finds these classes by the scheme of a URL, `unspool://HOST:PORT/NAME` or `unspools://HOST:PORT/NAME`.
"""

from unspool.core.extras import extra

with extra("fsspec"):
    from unspool.filesystem.filesystem import SecureUnspoolFileSystem, UnspoolFileSystem

__all__ = ["SecureUnspoolFileSystem", "UnspoolFileSystem"]
