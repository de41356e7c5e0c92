"""Engines: runners by name, their options, and their workers.

`pipeline_options` reads Beam's options, `job_options` derives them from a job, `create` makes the
runner; `local` is our own, whose worker processes begin at `worker_main`. `job_servers`,
`reachability` and `staging` are for workers elsewhere, `dataflow` is for Dataflow.
"""
