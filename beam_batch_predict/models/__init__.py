"""Instances through a model: tensors in, columns of predictions out."""
