"""What the kernel says about open files: the file system that they are on, and what of them is in memory."""
