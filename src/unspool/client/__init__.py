"""The client: requests files from a server and verifies them, and uploads. It uses gRPC only through `unspool.rpc`.

client.py         Client: stat, exists, list, get, open, read, read_many, verify; treecalls.py, writecalls.py: its other calls
connected.py      what all calls share; seams.py: the outside world of a transfer; clock.py, transport.py: interfaces of that
arguments.py      the checks of paths that a caller passes; results.py, treeresults.py, writeresults.py: results
blocking.py       the same as blocking calls, by portal.py; remotefile.py, remotewriter.py: Python file objects
obspec.py         the same in the shape of obspec's protocols
events.py         what observers are told; progress.py: the observer behind `progress=fn(done, total)`

transfer.py       one transfer: attempts(), the only retry loop; replicas.py: which server each attempt goes to
heartbeats.py     how long a server may only say that it is alive; ratelimit.py: bytes per second
security.py       TLS, tokens and targets; dialects.py: the transport of each dialect
download.py       one file to a path: resume, restart, repair, commit; unfinished.py: its part file
fetch.py          the streams that fetch it, one range each
writer.py         one file to a writer; reading.py: a span being read
batches.py        many small files or spans over one stream; manyspans.py: the spans of `read_many`
batchedchecksums.py  the checksums of many small files
verify.py         whether a local file has the server's bytes; verifytree.py: whether a directory has
tree.py           all files below a prefix; preview.py: what that would fetch; getmany.py: several files from several servers
spooledlisting.py  a listing that is read as a whole before it is worked on
tally.py          the counts of a tree, puttally.py of one that is uploaded; tasks.py: tasks that end together
endings.py        which errors end the work on many files

upload.py         one file to a server; uploadstream.py: one attempt at that; material.py: the source, and how it is read
storages.py       which of several servers a file may be written to
writing.py        a file that is uploaded while a program writes it; feed.py: its bytes on their way
puttree.py        all files below a directory; putbatch.py: many small ones over one stream
hiddennames.py    which of them the server would not take
deleting.py       a file, or all below a prefix, deleted
running.py        which calls a server is answering
"""
