"""Predictions as TFRecord files of tf.train.Examples, read back by TensorFlow itself."""

import json
from pathlib import Path

import apache_beam as beam
import pytest

import beam_batch_predict as bbp
from beam_batch_predict.jobs import read_job

PENGUINS = Path(__file__).resolve().parents[2] / "examples" / "penguins"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel: serialized Examples in; numbers, strings and a matrix out."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def parse(self, examples):
            x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([2], tf.float32)})["x"]
            total = tf.reduce_sum(x, 1)
            return {
                "total": total,
                "label": tf.strings.as_string(total),
                "raw_bytes": examples,
                "matrix": tf.stack([x, x + 1], 1),
                "positive": total > 0,
                "huge": tf.cast(tf.math.abs(total), tf.uint64),
            }

    made = Model()
    path = str(tmp_path_factory.mktemp("model") / "examples")
    tf.saved_model.save(made, path, signatures={"serving_default": made.parse})
    return path


def example(**features):
    import tensorflow as tf

    def feature(values):
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if isinstance(values[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    named = {name: feature(values) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


@pytest.fixture
def run(run_transforms, tiny_model, tmp_path):
    """A function that predicts some rows, and gives the directory of the published files."""
    import tensorflow as tf

    def run(source, rows, *, model=tiny_model, **arguments):
        path = tmp_path / "in"
        if source is bbp.TfRecord:
            with tf.io.TFRecordWriter(str(path)) as writer:
                for row in rows:
                    writer.write(row)
            return run_transforms(source(str(path)), "tf-record", model, **arguments)
        path.write_text(rows)
        return run_transforms(source(str(path), 16), "tf-record", model, **arguments)

    return run


def examples(directory, kind="predictions"):
    """The features of all records, as TensorFlow reads them."""
    import tensorflow as tf

    files = sorted(map(str, directory.glob(f"{kind}_*.tfrecord")))
    found = []
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        found.append(
            {
                name: list(getattr(feature, feature.WhichOneof("kind")).value)
                for name, feature in sorted(features.items())
            }
        )
    return found


def test_an_example_keeps_its_features_and_gets_those_of_the_prediction(run, model):
    import tensorflow as tf

    rows = [
        example(x=[1.0, 0.5], prediction=[b"mine"], total=[7]),
        example(y=[1]),
        example(x=[-1.0, 0.25], ids=[1, 2]),
        b"not an Example",
    ]
    directory = run(bbp.TfRecord, rows, model=model)
    first, second = examples(directory)
    assert first == {
        "huge": [b"1"],
        "label": [b"1.500000"],
        "matrix": [1.0, 0.5, 2.0, 1.5],
        "positive": [1],
        "prediction_": [b"mine"],
        "raw_bytes": [rows[0]],
        "total": [1.5],
        "total_": [7],
        "x": [1.0, 0.5],
    }
    assert (second["x"], second["ids"], second["positive"]) == ([-1.0, 0.25], [1, 2], [0])
    missing, garbage = examples(directory, "errors")
    assert (missing["y"], missing["error/code"]) == ([1], [3])
    assert garbage["instance"] == [b"not an Example"]
    assert b"Example" in garbage["error/message"][0]
    files = sorted(map(str, directory.glob("predictions_*")))
    parsed = tf.io.parse_example(
        list(tf.data.TFRecordDataset(files).as_numpy_iterator()),
        {
            "matrix": tf.io.FixedLenFeature([2, 2], tf.float32),
            "total": tf.io.FixedLenFeature([], tf.float32),
            "ids": tf.io.VarLenFeature(tf.int64),
            "prediction_": tf.io.FixedLenFeature([], tf.string, ""),
        },
    )
    assert parsed["matrix"].numpy().tolist()[0] == [[1.0, 0.5], [2.0, 1.5]]
    assert parsed["total"].numpy().tolist() == [1.5, -0.75]
    assert parsed["ids"].values.numpy().tolist() == [1, 2]
    assert parsed["prediction_"].numpy().tolist() == [b"mine", b""]


def test_a_key_replaces_the_features(run, model):
    rows = [example(x=[float(n), 0.0], id=[n]) for n in range(3)]
    found = examples(run(bbp.TfRecord, rows, model=model, key_field="id"))
    assert [row["key"] for row in found] == [[0], [1], [2]]
    assert "x" not in found[0]


def test_no_two_keys_become_one(run):
    rows = "".join(f'{{"id": {key}, "x": 1}}\n' for key in ("1700000000.5", "1700000001.5", "7"))
    found = examples(run(bbp.JsonLines, rows, key_field="id"))
    assert [row["key"] for row in found] == [[b"1700000000.5"], [b"1700000001.5"], [b"7"]]


def test_excluded_features_follow(run, model):
    rows = [example(x=[1.0, 0.0], id=[7], note=[b"a"])]
    (found,) = examples(run(bbp.TfRecord, rows, model=model, excluded_fields=["id", "note"]))
    assert (found["x"], found["id"], found["note"]) == ([1.0, 0.0], [7], [b"a"])


def test_records_that_are_no_examples_are_one_feature(run):
    assert examples(run(bbp.TfRecord, [b"abc", b""], signature="length")) == [
        {"instance": [b"abc"], "prediction": [3]},
        {"instance": [b""], "prediction": [0]},
    ]


@pytest.mark.parametrize(
    ("source", "rows", "config"),
    [
        (bbp.JsonLines, '{"id": "a", "x": 1}\n{"id": 7, "x": 2}\n{"id": "c", "x": "no"}\n', {}),
        (bbp.Csv, 'id,x,y\n"a",1,1\n7,4,0\n"c","no number",1\n', {"signature": "total"}),
    ],
)
def test_keys(source, rows, config, run):
    """The kind of a feature is the same in all records: a string among numbers makes text."""
    directory = run(source, rows, key_field="id", **config)
    assert [(row["key"], *row["prediction"]) for row in examples(directory)] in (
        [([b"a"], 2.0), ([b"7"], 4.0)],
    )
    (bad,) = examples(directory, "errors")
    assert (bad["key"], bad["error/code"]) == ([b"c"], [3])


def test_objects_have_a_feature_for_each_field(run):
    rows = '{"x": 1, "n": {"a": [1]}}\n{"x": 0.1, "n": [[1, 2], [3]]}\n{"x": 16777217, "n": null}\n'
    found = examples(run(bbp.JsonLines, rows, excluded_fields=["n"]))
    assert [row.get("n") for row in found] == [[b'{"a":[1]}'], [b"1", b"2", b"3"], None]
    assert [row["x"] for row in found] == [[b"1"], [b"0.1"], [b"16777217"]]
    assert [len(row["prediction"]) for row in found] == [1, 1, 1]


@pytest.mark.parametrize(("rows", "failed"), [("", 0), ("oops\n" * 5, 5)])
def test_without_predictions_there_is_an_empty_file(rows, failed, run):
    directory = run(bbp.JsonLines, rows)
    assert (directory / "predictions_0001.tfrecord").read_bytes() == b""
    assert [row["instance"] for row in examples(directory, "errors")] == [[b"oops"]] * failed


ROWS = ["oops" if n in (0, 1, 2, 9) else f'{{"x": {n}, "f{n % 3}": "{n}"}}' for n in range(20)]


def test_chunks_are_the_same_whatever_the_runner_does(run, published):
    text = "".join(f"{row}\n" for row in ROWS)
    config = {"excluded_fields": ["f0", "f1", "f2"]}
    once = published(run(bbp.JsonLines, text, **config))
    directory = run(bbp.JsonLines, text, steps=[beam.Reshuffle()], **config)
    assert published(directory) == once
    assert len([name for name in once if name.startswith("predictions")]) > 3
    assert [(row["x"], row[f"f{int(row['x'][0]) % 3}"]) for row in examples(directory)] == [
        ([n], [b"%d" % n]) for n in range(20) if ROWS[n] != "oops"
    ]


def test_a_job_of_several_outputs(pipeline, tmp_path):
    job = read_job(
        {
            "displayName": "penguins",
            "unmanagedContainerModel": {"artifactUri": str(PENGUINS / "model")},
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [str(PENGUINS / "data" / "*.jsonl")]},
            },
            "instanceConfig": {"keyField": "id"},
            "outputConfig": {
                "predictionsFormat": "tf-record",
                "gcsDestination": {"outputUriPrefix": str(tmp_path)},
            },
        }
    )
    predict = bbp.BatchPredict(job)
    with pipeline() as p:
        _ = p | predict
    directory = Path(predict.directory)
    good, bad = examples(directory), examples(directory, "errors")
    assert (len(good), len(bad)) == (333, 16)
    assert set(good[0]) > {"key"}
    assert "prediction" not in good[0]
    record = json.loads((directory / "job.json").read_text())
    assert record["outputConfig"]["predictionsFormat"] == "tf-record"
