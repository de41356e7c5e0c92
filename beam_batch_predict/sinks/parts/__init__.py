"""Parts: what is written for one chunk."""
