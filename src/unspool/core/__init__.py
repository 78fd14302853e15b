"""The pure core: nothing here uses await, a clock, files, logging, gRPC or protobuf. Decisions are made here.

model.py         files, listings, requests and the messages of a read; uploading.py: those of writing; value.py: value classes
names.py         which names are valid; reserved.py: those of unspool's own files; address.py: servers and URLs
checksum.py      CRC32C of bytes and of joined runs; whole.py: compares that of a whole file; segments.py: which bytes are good
abridged.py, counted.py   text of messages; oserrors.py: what the operating system says; extras.py: packages that may be missing

receiver.py      receives one read; sender.py: sends one upload; acceptor.py: accepts the stream of one
ranges.py        the missing bytes, a range for each stream; ramp.py: how many streams; blocksizing.py: how large their blocks
retry.py         when to try again; replicas.py: at which server; resent.py: which bytes came twice; spans.py: merged reads
journal.py       what a part file holds; sealedjson.py: JSON that checks itself
windows.py       what calls receive ahead; listing.py: a listing must end

tree.py          whether a file of a tree has to be fetched; treerecord.py: what is recorded of it; uptodate.py: or to be sent
filters.py       which files of a tree are wanted; globs.py: patterns; omissions.py: what a listing leaves out
uploadid.py      the id of an upload; condition.py: whether it may have its name; uploadparts.py, uploadrecord.py: in a bucket
bytestreamwrite.py   a write of ByteStream

limits.py        the server's limits; turns.py: a fair queue; running.py: the calls that a server is answering
access.py        the interfaces of authentication, authorization and audit; rules.py, tokens.py, tomlfile.py: their files
tls.py           what secures an address; certificate.py: names and dates
"""
