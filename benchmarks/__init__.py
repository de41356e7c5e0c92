"""Benchmarks: speed and memory of a batch prediction job, compared with other programs."""
