"""Summary of the errors of rows, in groups by cause."""
