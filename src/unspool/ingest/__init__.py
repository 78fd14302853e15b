"""Receives files: where the bytes of uploads go on the server. It knows nothing of gRPC, streams or clients.

base.py          the contract: an ingester, and an upload that is open
taking.py        one stream of an upload: its messages in, the bytes to an ingester
memory.py        into a memory store
local.py         into a directory: opens, commits and finds uploads
localupload.py   one upload that is open; uploadfile.py: its part file, with a journal that survives a power cut
staging.py       the directory that holds what has no final name yet
target.py        the place of a file below the root, reached without following links
small.py         many small files at once
sweep.py         removes what expired; refusals.py: maps errors
"""
