"""What the kernel says about open files, and SQLite about databases.

filesystems.py   the file system that a file is on; pagecache.py: what of it is in memory
databases.py     SQLite databases: transactions, and a server's file of checksums
"""
