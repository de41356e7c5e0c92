"""One module per verb: a plain function that returns a value."""
