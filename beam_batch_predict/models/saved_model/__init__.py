"""The kind of model that is a TensorFlow SavedModel."""
