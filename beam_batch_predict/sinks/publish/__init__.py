"""Parts under their final names, or in tables."""
