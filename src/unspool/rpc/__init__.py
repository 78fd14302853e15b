"""What goes over the wire, for both sides. Only this room and `unspool.server` use gRPC.

connection.py      a client's channel: calls that take and return serialised messages, and raise errors of unspool
                   (twoway.py: a two-way stream of it)
transport.py       the client's transport for unspool.v1; uploadstreams.py: two-way streams; demotransport.py: for demo.Files
wire.py            messages of reading; batchwire.py, packs.py: batches; writewire.py: uploads; deletewire.py: deletions
messages.py        what all messages have in common; entrylimits.py: how many entries one may have
adminwire.py       messages of AdminService; bytestreamwire.py: of ByteStream; demowire.py: of demo.Files
status.py          errors as gRPC's status, and back; connecterrors.py: why no server could be reached
certificates.py    files of certificates and keys; tls.py: given to gRPC; tlsprobe.py: why a handshake failed
bearer.py          the token of a client; taskmetadata.py: what the calls of a task send besides
forks.py           gRPC does not survive a fork while it is in use
"""
