"""Fixtures for tests of whole pipelines: a tiny model, a local runner, published files."""

import contextlib
import json
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

import beam_batch_predict as bbp
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runners.job_options import make_engine
from beam_batch_predict.sinks.parts.metadata import write_part_metadata
from beam_batch_predict.spec import RunOptions
from beam_batch_predict.transforms import write_dofns

# On a busy machine, any example may miss a deadline; pytest's `timeout` limits the tests. Each run
# tries the same examples: a change passes or fails for its own sake. `make fuzz` varies them.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")


def pytest_configure():
    """Handle SIGINT: a shell that starts tests in the background makes them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip tests that need tfx_bsl only where it cannot be installed."""
    if sys.version_info < (3, 11):
        reason = "on Python 3.10 tfx-bsl wants an older protobuf than Beam"
        for item in items:
            if item.get_closest_marker("tfx_bsl"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def outcome_in():
    """Return a function that reads predictions, errors and job resource of a finished run."""

    def read(directory):
        found = {"predictions": [], "errors": []}
        for path in sorted(Path(directory).glob("*_*.jsonl")):
            found[path.name.split("_")[0]] += map(json.loads, path.read_bytes().splitlines())
        record = json.loads((Path(directory) / "job.json").read_text())
        return found["predictions"], found["errors"], record

    return read


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Return a SavedModel: y is twice x; more signatures are for other types of instances."""
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
    """Return a function that makes a pipeline on the local runner, with flags of Beam."""

    def make(*flags):
        return make_engine(flags).make_pipeline()

    return make


@pytest.fixture
def breaking_off(monkeypatch):
    """Return a context in which runs are interrupted after a number of finished parts."""

    @contextlib.contextmanager
    def breaking(parts):
        written = []

        def write(part, directory):
            if len(written) == parts:
                raise RuntimeError("the power went")
            written.append(part)
            write_part_metadata(part, directory)

        with monkeypatch.context() as patch:
            patch.setattr(write_dofns, "write_part_metadata", write)
            yield

    return breaking


@pytest.fixture
def published():
    """Return a function that reads the published files of a directory: bytes by name."""

    def read(directory):
        kinds = ("errors_*", "predictions_*")
        found = [path for kind in kinds for path in sorted(Path(directory).glob(kind))]
        return {path.name: path.read_bytes() for path in found}

    return read


@pytest.fixture
def run_job(pipeline, tmp_path, outcome_in):
    """Return a function that runs a job in tmp_path: predictions, errors and job resource."""

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
            predict = bbp.BatchPredict(job.to_spec(RunOptions(signature_name=signature, **options)))
            _ = p | predict
        return outcome_in(predict.directory)

    return run


@pytest.fixture
def run_transforms(pipeline, tmp_path):
    """Return a function that runs the PTransforms on a source: the output directory."""

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
