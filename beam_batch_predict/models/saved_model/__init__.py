"""Models that are TensorFlow SavedModels."""
