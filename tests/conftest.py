"""What tests of whole pipelines share: a tiny model, a local runner, published files."""

import json
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_batch_predict.runners import make_runner


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
def published():
    """A function from a directory to the published files in it: bytes by name."""

    def read(directory):
        kinds = ("errors_*", "predictions_*")
        found = [path for kind in kinds for path in sorted(Path(directory).glob(kind))]
        return {path.name: path.read_bytes() for path in found}

    return read
