"""Writes files to the local disk. Directories are used by descriptor, so that no path can change between a check and a use.

destination.py   one final name, in a directory that is opened once; entries.py: operations on names in a directory
part.py          the unfinished copy of one file: lock, write, journal; partfile.py: that of a download, beside its destination
tree.py          a tree: which files are here, which have to be fetched, and writing them
home.py          what unspool keeps below a tree's destination: the lock, the record, staged files
directories.py   opens the directories below a tree's destination, part by part
staging.py       gives final names to files that have arrived, many at a time
copy.py          a local file that is compared with the server's
disk.py          the thread that does all of this; oserrors.py: maps operating-system errors
"""
