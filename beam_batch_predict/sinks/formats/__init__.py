"""Records of each output format."""
