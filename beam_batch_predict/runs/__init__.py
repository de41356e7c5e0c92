"""The life of a run in its directory: claim, plan, resume, finish.

These mechanisms keep two processes apart:

    mechanism         what it ensures                       where it holds
    ----------------  ------------------------------------  ----------------------------------
    directory claim   No two runs have one directory.       Local files: `mkdir`. Cloud
    (`Run.claim`)                                           Storage: `job.json` is created only
                                                            if it does not exist. Other file
                                                            systems: `job.json` is searched
                                                            first, so that two processes may
                                                            both succeed in the same instant.
    output path       One run writes to a directory that    As above, by `job.json`.
    (`output_path`)   it has not made.
    lock              Of the launchers on one machine, the  Local files, if the file system has
    (`lock`)          first has the run until it ends; a    locks. The kernel releases the lock
                      second one is refused.                of a process that was killed.
    attempt           Of the attempts at one run, the       Everywhere, also between machines
    (`Run.            newest owns it; an earlier one stops  and for workers. It is checked
    check_attempt`)   before it publishes or writes         before each step, not atomically.
                      `job.json`.
    publishing claim  One run publishes in a directory.     Local files, Cloud Storage. It is
    (`sinks/publish/  Pipelines without a launcher have     the file `publishing` beside the
    files`)           no other claim.                       directories of parts.

The lock and the attempt differ. The lock refuses a second process while the first one runs. The
attempt lets the second process own the run, because a file does not show whether the process
that wrote it still runs.
"""
