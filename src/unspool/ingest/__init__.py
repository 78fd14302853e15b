"""Receives files: where the bytes of uploads go on the server. It knows nothing of gRPC, streams or clients.

base.py          the contract: an ingester, and an upload that is open
taking.py        one stream of an upload: its messages in, the bytes to an ingester
memory.py        into a memory store
local.py         into a directory: opens, commits and finds uploads
localupload.py   one upload that is open; uploadfile.py: its part file, with a journal that survives a power cut
staging.py       the directory that holds what has no final name yet
target.py        the place of a file below the root, reached without following links; describing.py: its revision
small.py         many small files at once
sweep.py         removes what expired; refusals.py: maps errors
newnames.py      which names new files may have; limits.py: how much uploads may take

objects.py       into an object store: opens, commits and finds uploads; objectprobe.py tries the store first
objectupload.py  one upload that is open; objectparts.py: the parts that were sent; spool.py: the bytes of an incomplete one
objectplace.py   what is kept of uploads in the store; objectresume.py goes on from there; objectsweep.py removes what expired
objectcommit.py  gives an object its name; objectsmall.py: many small files at once
bucket.py        whole objects, through obstore; multipart.py: the contract of uploads in parts; s3.py: those of S3
azure.py         those of Azure
"""
