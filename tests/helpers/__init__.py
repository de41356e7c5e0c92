"""What tests share and hypothesis cannot take as a fixture."""
