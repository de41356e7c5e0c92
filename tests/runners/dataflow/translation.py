"""Inspection of jobs as Dataflow gets them: pipelines in their portable form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apache_beam.internal import pickler
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

import beam_batch_predict as bbp
from beam_batch_predict.runners.job_options import make_engine

FLAGS = (
    "--runner=DataflowRunner",
    "--dataflow_endpoint=http://localhost:1",  # no request is sent
    "--dry_run=True",
    "--no_auth",
    "--project=my-project",
    "--region=us-central1",
    "--temp_location=gs://bucket/tmp",
    "--experiments=disable_logging_submission_environment",
)

PARDO = common_urns.primitives.PAR_DO.urn
FUSABLE = frozenset({PARDO, common_urns.primitives.ASSIGN_WINDOWS.urn})


def translate(job: Any, *flags: str) -> api.Pipeline:
    """Make the pipeline of a job as DataflowRunner does; nothing is sent."""
    pipeline = make_engine([*FLAGS, *flags]).make_pipeline()
    _ = pipeline | bbp.BatchPredict(job)
    found: api.Pipeline = pipeline.run().job.proto_pipeline
    return found


def steps(pipeline: api.Pipeline) -> dict[str, api.PTransform]:
    """Return the transforms that contain no others, by their names."""
    found = pipeline.components.transforms.values()
    return {each.unique_name: each for each in found if not each.subtransforms}


def pardo(step: api.PTransform) -> api.ParDoPayload:
    """Return the payload of a ParDo."""
    assert step.spec.urn == PARDO
    return api.ParDoPayload.FromString(step.spec.payload)


def fn_of(step: api.PTransform) -> Any:
    """Return the DoFn of a ParDo with its arguments, unpickled as on a worker."""
    return pickler.loads(pardo(step).do_fn.payload)


def chain(pipeline: api.Pipeline, first: str, last: str) -> list[api.PTransform]:
    """Return the steps from one to another by their main inputs."""
    found = steps(pipeline)
    producers = {output: each for each in found.values() for output in each.outputs.values()}
    walked = [step_called(found, last)]
    while not walked[0].unique_name.endswith(first):
        step = walked[0]
        side = set(pardo(step).side_inputs) if step.spec.urn == PARDO else set()
        (main,) = (of for name, of in step.inputs.items() if name not in side)
        walked.insert(0, producers[main])
    return walked


def step_called(found: dict[str, api.PTransform], name: str) -> api.PTransform:
    """Return the only step whose name ends with a text."""
    (step,) = (each for each in found.values() if each.unique_name.endswith(name))
    return step


def stages(pipeline: api.Pipeline) -> list[set[str]]:
    """Return the names of steps in each stage, as Beam's own fuser combines them."""
    _, found = FnApiRunner().create_stages(pipeline)
    return [{each.unique_name for each in stage.transforms} for stage in found]


def display_data(pipeline: api.Pipeline) -> Iterator[bytes]:
    """Return the display data of the steps, which Dataflow's page shows."""
    for each in pipeline.components.transforms.values():
        for item in each.display_data:
            yield item.payload
