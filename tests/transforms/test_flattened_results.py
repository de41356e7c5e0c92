"""Results of several sources and models in one output: every row is published, or all refused."""

import json
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest

import beam_batch_predict as bbp
from beam_batch_predict.errors import LostRowsError

FORMATS = ("jsonl", "csv", "parquet", "tf-record")
ROWS = {"a": 12, "c": 15}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with two signatures: one output, and two."""
    import tensorflow as tf

    class Tiny(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def twice(self, x):
            return {"y": 2 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def two(self, x):
            return {"a": 3 * x, "b": tf.cast(x, tf.int64)}

    tiny, path = Tiny(), str(tmp_path_factory.mktemp("model"))
    signatures = {"serving_default": tiny.twice, "two": tiny.two}
    tf.saved_model.save(tiny, path, signatures=signatures)
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files of several chunks; the sixth row of each is no number."""
    directory = tmp_path_factory.mktemp("inputs")
    for base, (name, count) in enumerate(ROWS.items()):
        rows = ["oops" if row == 5 else f"{base * 100 + row}.5" for row in range(count)]
        (directory / f"{name}.jsonl").write_text("\n".join(rows))
    return directory


class Steps:
    """The steps of a pipeline, each with a label of its own."""

    def __init__(self, pipeline, inputs, model):
        self.pipeline, self.inputs, self.model = pipeline, inputs, model

    def apply(self, collection, step):
        return collection | f"{len(self.pipeline.applied_labels)}" >> step

    def read(self, name):
        source = bbp.JsonLines(str(self.inputs / f"{name}.jsonl"), chunk_bytes=20)
        return self.apply(self.pipeline, bbp.ReadInstances(source, 2))

    def instances(self, name):
        return self.apply(self.read(name), bbp.ConvertInstances())

    def predict(self, batches, signature="serving_default"):
        return self.apply(batches, bbp.Predict(bbp.SavedModel(self.model, signature), 2))

    def flatten(self, *collections):
        return self.apply(collections, beam.Flatten())


def two_sources_one_model(steps):
    return steps.predict(steps.flatten(steps.instances("a"), steps.instances("c")))


def two_sources_two_models(steps):
    return steps.flatten(
        steps.predict(steps.instances("a"), "two"), steps.predict(steps.instances("c"))
    )


def one_source_read_twice(steps):
    return steps.predict(steps.flatten(steps.instances("a"), steps.instances("a")))


def two_models(steps):
    rows = steps.instances("a")
    return steps.flatten(steps.predict(rows), steps.predict(rows, "two"))


def one_model_twice(steps):
    rows = steps.instances("a")
    return steps.flatten(steps.predict(rows), steps.predict(rows))


def two_configs(steps):
    rows = steps.read("a")
    config = bbp.InstanceConfig(location_as_key=True)
    keyed = steps.apply(rows, bbp.ConvertInstances(config))
    plain = steps.apply(rows, bbp.ConvertInstances())
    return steps.predict(steps.flatten(keyed, plain))


def rows_beside_a_source(steps):
    rows = steps.apply(steps.pipeline, beam.Create([1.0, 2.0, "x"]))
    batches = steps.apply(rows, bbp.BatchInstances())
    return steps.predict(steps.flatten(steps.instances("a"), batches))


def rows_shared_by_two_models(steps):
    halves = beam.Partition(lambda batch, count: batch.chunk % count, 2)
    one, other = steps.apply(steps.instances("c"), halves)
    return steps.flatten(steps.predict(one), steps.predict(other, "two"))


COMPLETE = {
    two_sources_one_model: (27, 2),
    two_sources_two_models: (27, 2),
    one_source_read_twice: (24, 2),
    two_models: (24, 2),
    one_model_twice: (24, 2),
    two_configs: (24, 2),
    rows_beside_a_source: (15, 2),
    rows_shared_by_two_models: (15, 1),
}
"""For each pipeline, the rows of its results, and how many of them failed."""


@pytest.fixture
def write(pipeline, inputs, model, tmp_path):
    """A function that runs a pipeline that ends in files: their directory, or one per format."""

    def run(results, *forms):
        writes = [bbp.WriteResults(tmp_path / "out", form) for form in forms or FORMATS[:1]]
        with pipeline() as p:
            steps = Steps(p, inputs, model)
            rows = results(steps)
            for write in writes:
                _ = steps.apply(rows, write)
        found = [Path(write.directory) for write in writes]
        return found if forms else found[0]

    return run


def manifest_of(directory):
    return json.loads((directory / "manifest.json").read_bytes())


def rows_in(directory, kind):
    return [
        json.loads(line)
        for path in sorted(directory.glob(f"{kind}_*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


@pytest.mark.parametrize("results", COMPLETE)
def test_every_row_of_flattened_results_is_published(results, write):
    rows, failed = COMPLETE[results]
    for directory in write(results, *FORMATS):
        manifest = manifest_of(directory)
        assert manifest["rows"] == {"read": rows, "predicted": rows - failed, "failed": failed}
        assert sum(each["rows"] for each in manifest["files"]) == rows


def test_results_are_in_the_order_in_which_their_sources_were_built(write):
    directory = write(two_sources_one_model)
    numbers = [row["instance"] for row in rows_in(directory, "predictions")]
    assert numbers == [
        base + row + 0.5 for base, count in ((0, 12), (100, 15)) for row in range(count) if row != 5
    ]
    assert [row["prediction"] for row in rows_in(directory, "predictions")] == [
        2 * number for number in numbers
    ]
    files = [each for each in manifest_of(directory)["files"] if "predictions" in each["name"]]
    numbers = [each["chunk"]["number"] for each in files]
    assert numbers == list(range(len(numbers)))
    names = [each["chunk"]["rows"][0].partition(",")[0] for each in files]
    assert [Path(name).stem for name in names] == ["a"] * 3 + ["c"] * (len(names) - 3)


def test_the_results_of_each_model_follow_those_of_the_other(write):
    predictions = [row["prediction"] for row in rows_in(write(two_models), "predictions")]
    numbers = [row + 0.5 for row in range(12) if row != 5]
    assert predictions == [
        *(2 * number for number in numbers),
        *({"a": 3 * number, "b": int(number)} for number in numbers),
    ]


def test_the_rows_of_two_models_have_the_columns_of_both(write):
    (directory,) = write(two_models, "parquet")
    paths = sorted(directory.glob("predictions_*"))
    rows = [row["prediction"] for path in paths for row in pq.read_table(path).to_pylist()]
    assert rows[0] == {"prediction": 1.0, "a": None, "b": None}
    assert rows[-1] == {"prediction": None, "a": 34.5, "b": 11}


def itself(steps):
    results = steps.predict(steps.instances("a"))
    return steps.flatten(results, results)


def itself_before_the_model(steps):
    rows = steps.instances("a")
    return steps.predict(steps.flatten(rows, rows))


def a_copy(steps):
    rows = steps.instances("a")
    return steps.predict(steps.flatten(rows, steps.apply(rows, beam.Map(lambda batch: batch))))


@pytest.mark.parametrize("results", [itself, itself_before_the_model, a_copy])
def test_rows_that_come_twice_through_the_same_transforms_are_refused(results, write, tmp_path):
    with pytest.raises(LostRowsError, match="came more than once, through the same transforms"):
        write(results)
    assert not list(tmp_path.glob("out/*/*.json*"))


def test_rows_that_one_of_two_models_lacks_are_a_loss(write, tmp_path):
    def some(steps):
        rows = steps.instances("a")
        fewer = steps.apply(rows, beam.Filter(lambda batch: batch.chunk != 1))
        return steps.flatten(steps.predict(rows), steps.predict(fewer, "two"))

    with pytest.raises(LostRowsError, match="1 of 3 chunks have no part; the first is 1"):
        write(some)
    assert not list(tmp_path.glob("out/*/*.json*"))
