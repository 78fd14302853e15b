"""The server: it listens, enforces limits, speaks the dialects and drains."""
