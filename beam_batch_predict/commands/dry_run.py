"""A dry run: the job as it is understood, and the options of its runner.

It needs no credentials, reads no input and loads no model. A model that is named is not looked
up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from beam_batch_predict.jobs import AiPlatformJob, Job
from beam_batch_predict.spec.options import RunOptions

__all__ = ["Shown", "show_run"]


class Shown(NamedTuple):
    """What a run would be.

    Attributes:
        job: its resource as JSON text.
        lines: for people: notes, and each option of Beam with where it comes from.
    """

    job: bytes
    lines: tuple[str, ...]


def show_run(job: Job, options: RunOptions, beam_flags: Sequence[str]) -> Shown:
    """What a run would be.

    Args:
        job: the job.
        options: of the run.
        beam_flags: Beam's own options, as on a command line.

    Raises:
        InvalidArgument: the job would be refused because of its options.

    Example:
        >>> from beam_batch_predict.jobs import BatchPredictionJob
        >>> job = BatchPredictionJob(service_account="a@b", model="penguins")
        >>> show_run(job, RunOptions(), []).lines
        ('note: serviceAccount: used on Dataflow; elsewhere workers run as the runner decides.',)
    """
    spec = None if _names_model(job) else job.to_spec(options)
    notes, lines = list(job.notes), list[str]()
    if beam_flags:  # otherwise it is the local runner, with nothing to tell it
        from beam_batch_predict.runners.job_options import plan_options
        from beam_batch_predict.runners.pipeline_options import make_options
        from beam_batch_predict.runners.reachability import check_reach

        planned = plan_options(job.resources, beam_flags, options.model_copies)
        if spec is not None:
            check_reach(spec, make_options(planned.flags))
        notes += planned.notes
        lines += planned.lines()
    return Shown(job.to_json_bytes(), (*(f"note: {note}" for note in notes), *lines))


def _names_model(job: Job) -> bool:
    """Whether the model is given by a name, which says where it is only to who looks it up."""
    if isinstance(job, AiPlatformJob):
        given = job.prediction_input
        return given is not None and bool(given.version_name or given.model_name)
    return bool(job.model)
