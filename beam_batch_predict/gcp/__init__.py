"""Clients of Google Cloud as values that travel to workers."""
