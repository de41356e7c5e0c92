"""From a model's name to the directory of its files."""
