"""Where bytes go on this machine.

partfile.py      one file: lock, write, journal, commit
destination.py   a tree: what is here, what has to be written, when it gets its name
home.py          what unspool keeps below a tree's destination: the lock, the record, files without a name yet
directories.py   the only way to a directory below a tree's destination: part by part
staging.py       how files that have arrived get their names, many at once
disk.py          the thread in which all that is done
"""
