"""Functions that tests share; Hypothesis cannot use fixtures."""
