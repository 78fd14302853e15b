"""Where bytes go on this machine: by descriptor, so that nothing between a check and a use can lead elsewhere.

destination.py   one final name, in a directory that is opened once; entries.py: what is done with names there
partfile.py      one file: lock, write, journal, commit
tree.py          a tree: what is here, what has to be written, when it gets its name
home.py          what unspool keeps below a tree's destination: the lock, the record, files without a name yet
directories.py   the only way to a directory below a tree's destination: part by part
staging.py       how files that have arrived get their names, many at once
copy.py          a local file that is to be compared
disk.py          the thread in which all that is done; refusals.py: what it is told there, as our errors
"""
