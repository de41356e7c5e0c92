"""The dry run: the job as it was read, and the options of its runner.

It needs no credentials, reads no input and loads no model. The name of a model is not looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from beam_batch_predict.jobs import AiPlatformJob, Job
from beam_batch_predict.spec.options import RunOptions

__all__ = ["show_run"]


class DryRun(NamedTuple):
    """The result of a dry run.

    Attributes:
        job: the job resource as JSON text.
        lines: notes, and each option of Beam with its source, as lines of text.
    """

    job: bytes
    lines: tuple[str, ...]


def show_run(job: Job, options: RunOptions, beam_flags: Sequence[str]) -> DryRun:
    """Return the job and the options that a run would have.

    Args:
        job: the job.
        options: the options of the run.
        beam_flags: Beam's own options, as on a command line.

    Raises:
        InvalidArgument: a run would refuse the options.

    Example:
        >>> from beam_batch_predict.jobs import BatchPredictionJob
        >>> job = BatchPredictionJob(service_account="a@b", model="penguins")
        >>> show_run(job, RunOptions(), []).lines
        ('note: serviceAccount: used on Dataflow; elsewhere workers run as the runner decides.',)
    """
    spec = None if _names_model(job) else job.to_spec(options)
    notes, lines = list(job.notes), list[str]()
    if beam_flags:  # without flags it is the local runner with its defaults
        from beam_batch_predict.runners.job_options import runner_options

        runner = runner_options(job.resources, beam_flags, options.model_copies)
        notes += runner.notes
        if spec is not None and (note := runner.engine().check_reach(spec)):
            notes.append(note)
        lines += runner.lines()
    return DryRun(job.to_json_bytes(), (*(f"note: {note}" for note in notes), *lines))


def _names_model(job: Job) -> bool:
    """Whether the model is given by a name, so that its directory is not known yet."""
    if isinstance(job, AiPlatformJob):
        given = job.prediction_input
        return given is not None and bool(given.version_name or given.model_name)
    return bool(job.model)
