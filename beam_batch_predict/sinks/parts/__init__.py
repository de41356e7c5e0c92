"""Parts: the files that are written for one chunk."""
