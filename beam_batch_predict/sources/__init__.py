"""The plan of chunks, and chunks to batches of rows."""
