"""What the kernel says about open files.

filesystems.py   the file system that a file is on; pagecache.py: what of it is in memory
"""
