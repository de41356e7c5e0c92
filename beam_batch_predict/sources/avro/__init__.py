"""Avro files: blocks, schemas, and records as JSON values."""
