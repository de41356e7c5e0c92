"""Values to bytes and back: JSON, CSV, Arrow, tf.train.Example, TFRecord."""
