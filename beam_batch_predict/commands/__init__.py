"""Commands as plain functions that return a value, one module for each."""
