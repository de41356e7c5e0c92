"""Outcomes to files and tables: columns, formats, parts, publication."""
