"""Turns a request and a store into what is sent, for every dialect of the server. Does not use gRPC.

frames.py      the frames that answer a read; batch.py: the pieces that answer a batch; refused.py: those of denied files
pages.py       the pages of a listing
patience.py    how their sender waits for the store, and how large blocks are to be
spans.py       the span that a read asks for, and the error for a store that stops before its end
checksums.py   the CRC32C of files, collected while they are sent; digests.py: the SHA-256; kept.py: both, for the next start
"""
