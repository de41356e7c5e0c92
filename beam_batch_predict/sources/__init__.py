"""What there is to read: the plan of chunks, and chunks to batches of rows."""
