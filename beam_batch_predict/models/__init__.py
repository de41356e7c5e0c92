"""Instances to tensors, through the model, to columns of predictions."""
