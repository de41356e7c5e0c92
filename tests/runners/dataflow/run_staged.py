"""Run of a staged pipeline in one process, in place of Dataflow's containers.

    python run_staged.py PIPELINE.pb OPTIONS.json

Beam's local runner runs the pipeline, with its worker in this process.
"""

import contextlib
import importlib
import json
import pathlib
import sys

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


def main(pipeline_file: str, options_file: str) -> None:
    """Run the pipeline to its end, or raise its error."""
    content = pathlib.Path(pipeline_file).read_bytes()
    pipeline = beam_runner_api_pb2.Pipeline.FromString(content)
    for environment in pipeline.components.environments.values():
        environment.CopyFrom(EmbeddedPythonEnvironment.default().to_runner_api(None))
    # Numbers in a job's JSON have no type.
    given = json.loads(pathlib.Path(options_file).read_text(), parse_float=_number)
    options = PipelineOptions.from_dictionary(given)
    for plugin in options.view_as(SetupOptions).beam_plugins or ():
        # A worker's main also imports these names of modules, or of classes in them.
        with contextlib.suppress(ImportError):
            importlib.import_module(plugin)
    FnApiRunner().run_via_runner_api(pipeline, options).wait_until_finish()
    import beam_batch_predict

    print(beam_batch_predict.__file__)


if __name__ == "__main__":
    main(*sys.argv[1:])
