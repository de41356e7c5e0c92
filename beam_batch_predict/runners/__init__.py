"""Where a pipeline runs: runners by name, their options, and the workers that they have.

`choice` makes the runner, `options` what it is told; `local` is our own, whose worker processes
begin at `worker_main`. `job_servers`, `far_workers` and `staging` are for workers elsewhere.
"""
