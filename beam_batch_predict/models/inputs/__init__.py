"""From instances to tensors."""
