"""Why rows failed, in groups by cause."""
