"""Calls of a model: isolation of bad rows, time limits, retries."""
