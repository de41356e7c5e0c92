"""The chunk plan, and chunks to batches of rows."""
