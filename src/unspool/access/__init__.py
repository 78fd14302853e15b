"""Whom the server knows and what each may do, kept in files that are read again when they change."""
