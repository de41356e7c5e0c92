"""Engines: runners by name, their options, and their workers.

`pipeline_options` reads the flags of Beam and `job_options` makes an engine from them and the job.
`engine` is the base of the engines in `local`, `portable` and `dataflow`. Worker processes of the
local engine start at `worker_main`. `job_servers`, `reachability` and `staging` are for remote
workers.
"""
