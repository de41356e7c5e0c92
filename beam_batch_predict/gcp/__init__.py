"""Clients of Google Cloud, described by picklable values."""
