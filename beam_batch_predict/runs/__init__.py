"""One run's life in its directory: plan, job resource, claim, resume, finish.

What keeps two processes apart:

    by                what it ensures                       where it holds
    ----------------  ------------------------------------  ----------------------------------
    directory claim   No two runs have one directory.       Local files: `mkdir`. Cloud
    (`Run.claim`)                                           Storage: `job.json` is created only
                                                            if it is not there. Elsewhere a
                                                            listing: two processes may both
                                                            succeed in the same instant.
    output path       One run writes to a directory that    As above, by `job.json`.
    (`output_path`)   it has not made.
    lock              Of the launchers on one machine, the  Local files, if the file system has
    (`lock`)          first has the run until it ends; a    locks. The kernel releases the lock
                      second one is refused.                of a process that was killed.
    attempt           Of the attempts at one run, the       Everywhere, also between machines
    (`Run.            newest has it; an earlier one stops   and for workers. It is checked
    check_attempt`)   before it publishes or records.       before each step, not atomically.
    publishing claim  One run publishes in a directory.     Local files, Cloud Storage. It is
    (`sinks/publish/  Pipelines without a launcher have     the file `publishing` beside the
    files`)           no other claim.                       directories of parts.

The lock is no form of the attempt: it refuses the second process while the first one lives, and
the attempt lets the second one take over, since a file cannot show whether its writer lives.
"""
