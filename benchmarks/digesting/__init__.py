"""Parts of `benchmarks.digests`: its model, its inputs, its jobs, and what they leave."""
