"""Parquet files: row groups in bounded memory."""
