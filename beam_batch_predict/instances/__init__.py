"""Rows of a source to keys and instances for the model."""
