"""The client: requests files from a server and verifies them. It uses gRPC only through `unspool.rpc`.

client.py      Client: stat, exists, list, get, get_tree, open, read, verify
blocking.py    the same as blocking calls, by portal.py; remotefile.py: a Python file object
arguments.py   the checks of paths that a caller passes
reading.py     a span being read; progress.py: the observer behind `progress=fn(done, total)`
transport.py   the interface to a server
transfer.py    one transfer: attempts(), the only retry loop
download.py    one file to a path: resume, restart, repair, commit; unfinished.py: its part file
fetch.py       the streams that fetch it, one range each
writer.py      one file to a writer
tree.py        all files below a prefix; batches.py: many small files over one stream
verify.py      whether a local file has the server's bytes
"""
