"""Publication: parts under their final names, or in tables."""
