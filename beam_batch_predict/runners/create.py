"""The runner that options name."""

from __future__ import annotations

from apache_beam.options.pipeline_options import (
    PipelineOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner, create_runner

from beam_batch_predict.runners.job_servers import start_in_any_thread
from beam_batch_predict.runners.local import LocalRunner
from beam_batch_predict.runners.pipeline_options import is_local

__all__ = ["make_runner"]


def make_runner(options: PipelineOptions) -> PipelineRunner:
    """The runner that the options name; ours by default.

    The local runner's worker processes get the options too, which the bare runner
    leaves out: file systems read theirs there.
    """
    if not is_local(options):
        return start_in_any_thread(create_runner(options.view_as(StandardOptions).runner))
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return LocalRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))
