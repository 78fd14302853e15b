"""Asking a server for files, and making sure of what comes. No gRPC in here, but by way of `unspool.rpc`.

client.py      Client: stat, exists, list, get, get_tree, open, read, verify
blocking.py    the same for scripts, by portal.py; remotefile.py: a file of Python's
arguments.py   the checks of paths that a caller passes
reading.py     a span that is being read; progress.py: `progress=fn(done, total)`, as an observer
transport.py   the seam to a server
transfer.py    one transfer: attempts(), the one way to try again
download.py    one file to a path: resume, restart, repair, commit; unfinished.py: what is here of it
fetch.py       the streams that fetch it, a range for each
writer.py      one file to a writer
tree.py        all files below a prefix; batches.py: many small ones with one stream
verify.py      whether a local file is the server's
"""
