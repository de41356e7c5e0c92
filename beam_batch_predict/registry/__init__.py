"""Models by name: lookup of the directory of a model."""
