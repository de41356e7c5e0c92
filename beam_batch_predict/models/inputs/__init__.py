"""Instances to tensors."""
