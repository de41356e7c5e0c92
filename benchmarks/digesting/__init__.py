"""Modules of `benchmarks.digests`: models, inputs, jobs, and their output as text."""
