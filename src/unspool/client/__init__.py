"""Asking a server for files, and making sure of what comes. No gRPC in here, but by way of `unspool.rpc`.

client.py      Client: stat, list, get, get_tree, open, read, verify; blocking.py: the same for scripts
transport.py   the seam to a server
transfer.py    one transfer: attempts, and when to make another
download.py    one file to a path: resume, restart, repair, commit; fetch.py: its streams, a range for each
tree.py        all files below a prefix; batches.py: many small ones with one stream
verify.py      whether a local file is the server's
"""
