"""Outcomes as columns: what identifies a row, and typed values."""
