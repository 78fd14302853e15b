"""Writes files to the local disk. Directories are used by descriptor, so that no path can change between a check and a use.

destination.py   one final name, in a directory that is opened once; entries.py: operations on names in a directory
part.py          the unfinished copy of one file: lock, write, journal; partfile.py: that of a download, beside its destination
attributes.py    the server's attributes, set on local files
copy.py          a local file that is compared with the server's
disk.py          the thread that does all of this; oserrors.py: maps operating-system errors

tree.py          a tree: which files are here, which have to be fetched, and writing them; outcome.py: what it reports
home.py          what unspool keeps below a tree's destination: lock, record, staged files; elsewhere.py: a record outside
record.py        the database of the record; peek.py: reads it without changing anything
directories.py   opens the directories below a tree's destination, part by part
staging.py       gives final names to files that have arrived, many at a time
preview.py       what fetching a tree would do
spool.py         the listing of a tree, in a temporary file; listed.py: in a temporary database, to be looked up

source.py        a local file that is uploaded; streamsource.py: a stream that is; uploadkey.py: the key of a user's uploads
walk.py          the files below a directory that is uploaded
"""
