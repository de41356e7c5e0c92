"""What tests of whole pipelines share: a tiny model, a local runner, published files."""

import contextlib
import json
import signal
import sys
from pathlib import Path

import apache_beam as beam
import hypothesis
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

import beam_batch_predict as bbp
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runners.create import make_runner
from beam_batch_predict.sinks.parts.metadata import write_part_record
from beam_batch_predict.transforms import write_dofns

# A busy machine makes any example late; how long tests may take is pytest's `timeout`.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_configure():
    """Let tests send SIGINT: a shell that starts them in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip what needs tfx_bsl only where it cannot be installed; elsewhere it must be there."""
    if sys.version_info < (3, 11):
        reason = "on Python 3.10 tfx-bsl wants an older protobuf than Beam"
        for item in items:
            if item.get_closest_marker("tfx_bsl"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def outcome_in():
    """A function that gives what a finished run left: predictions, errors and job record."""

    def read(directory):
        found = {"predictions": [], "errors": []}
        for path in sorted(Path(directory).glob("*_*.jsonl")):
            found[path.name.split("_")[0]] += map(json.loads, path.read_bytes().splitlines())
        record = json.loads((Path(directory) / "job.json").read_text())
        return found["predictions"], found["errors"], record

    return read


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A SavedModel: y is twice x, and more signatures for other types of instances."""
    import tensorflow as tf

    class Tiny(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def twice(self, x):
            return {"y": 2 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
        def length(self, s):
            return {"n": tf.strings.length(s)}

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="v")])
        def total(self, v):
            return {"t": tf.reduce_sum(v, axis=1)}

    tiny = Tiny()
    path = tmp_path_factory.mktemp("model") / "tiny"
    signatures = {"serving_default": tiny.twice, "length": tiny.length, "total": tiny.total}
    tf.saved_model.save(tiny, str(path), signatures=signatures)
    return str(path)


@pytest.fixture
def pipeline():
    """A function that makes a pipeline on the local runner, with some of Beam's flags."""

    def make(*flags):
        options = PipelineOptions(list(flags))
        return beam.Pipeline(runner=make_runner(options), options=options)

    return make


@pytest.fixture
def breaking_off(monkeypatch):
    """A context in which runs break off when so many of their parts are done."""

    @contextlib.contextmanager
    def breaking(parts):
        written = []

        def write(part, directory):
            if len(written) == parts:
                raise RuntimeError("the power went")
            written.append(part)
            write_part_record(part, directory)

        with monkeypatch.context() as patch:
            patch.setattr(write_dofns, "write_part_record", write)
            yield

    return breaking


@pytest.fixture
def published():
    """A function from a directory to the published files in it: bytes by name."""

    def read(directory):
        kinds = ("errors_*", "predictions_*")
        found = [path for kind in kinds for path in sorted(Path(directory).glob(kind))]
        return {path.name: path.read_bytes() for path in found}

    return read


@pytest.fixture
def run_job(pipeline, tmp_path, outcome_in):
    """A function that runs a job on files in tmp_path: its predictions, errors and record."""

    def run(
        instances_format, pattern, model, signature="serving_default", chunk_bytes=None, **config
    ):
        job = read_job(
            {
                "displayName": "a test",
                "unmanagedContainerModel": {"artifactUri": model},
                "inputConfig": {
                    "instancesFormat": instances_format,
                    "gcsSource": {"uris": [str(tmp_path / pattern)]},
                },
                "instanceConfig": config,
                "outputConfig": {
                    "predictionsFormat": "jsonl",
                    "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
                },
            }
        )
        options = {"chunk_bytes": chunk_bytes} if chunk_bytes else {}
        with pipeline() as p:
            predict = bbp.BatchPredict(job.to_spec(signature_name=signature, **options))
            _ = p | predict
        return outcome_in(predict.directory)

    return run


@pytest.fixture
def run_transforms(pipeline, tmp_path):
    """A function that sends a source through the PTransforms: the directory of the outputs."""

    def run(source, predictions_format, model, *, steps=(), signature="serving_default", **config):
        write = bbp.WriteResults(bbp.GcsDestination(str(tmp_path / "out")), predictions_format)
        with pipeline() as p:
            batches = p | bbp.ReadInstances(source, 2)
            for step in (
                *(bbp.ConvertInstances(bbp.InstanceConfig(**config)), *steps),
                *(bbp.Predict(bbp.SavedModel(model, signature), 2), *steps, write),
            ):
                label = f"{len(p.applied_labels)} {type(step).__name__}"
                batches = batches | label >> step
        return Path(write.directory)

    return run
