"""One module for each verb: a plain function that returns a value."""
