"""The server: it listens, enforces limits, speaks the dialects and drains.

server.py            the gRPC server; service.py: what answers for a store's files, also on a server of yours
ports.py             the addresses to listen on; socketlock.py: one start at a time on Unix sockets; exposure.py: exposed ones
connections.py       how many connections may be open

entry.py             the one entry for every call; probes.py: that of health and reflection; descriptorpools.py: for reflection
guard.py             who asks, and whether they may; audit.py: tells the audit what was decided
report.py            how each call ended; admission.py: requests per second; streams.py: running streams and their limits
requests.py          the wait for a request; turns.py: turns at the processor; rounds.py: messages in a round of the event loop
outlet.py            the sending side of a stream; inlet.py: the receiving side

dialects.py          the dialects; native.py: unspool.v1, of which writing.py has the methods that write
demo.py              demo.Files; bytestream.py, bytestreamwriting.py: google.bytestream.ByteStream
admin.py             AdminService; running.py: the calls of this process; siblings.py: those of other workers
"""
