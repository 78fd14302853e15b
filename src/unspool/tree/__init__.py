"""All files below a prefix, into a directory: resumable as a whole, each verified, none outside of that directory.

home.py          what unspool keeps below the destination: the lock, the record, files without a name yet
directories.py   the only way to a directory below the destination: part by part, through no symbolic link
destination.py   the disk's side: what is here, what has to be written, when it gets its name
batches.py       the network's side: many small files with one stream, each verified as if it were alone
drive.py         who does what when
"""
