"""Rows of a source to the instances that a model gets."""
