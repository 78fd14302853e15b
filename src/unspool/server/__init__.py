"""Listening, and answering what comes: who asks, within which limits, in which dialect, until when."""
