"""Dataflow: options, submission, waiting."""
