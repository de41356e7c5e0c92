"""Parquet files: row groups within bounds of memory."""
