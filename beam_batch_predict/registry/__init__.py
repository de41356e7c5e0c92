"""A model's name to the directory of its files."""
