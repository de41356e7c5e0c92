"""Jobs on TFRecord files, end to end: rows in are predictions and errors out."""

import base64

import pytest

from beam_batch_predict import BatchPredict
from beam_batch_predict.errors import RunFailed
from beam_batch_predict.jobs import read_job
from beam_batch_predict.spec import RunOptions


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel of three signatures: serialized Examples, several inputs, floats."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def parse(self, examples):
            spec = {"x": tf.io.FixedLenFeature([2], tf.float32)}
            return {"total": tf.reduce_sum(tf.io.parse_example(examples, spec)["x"], 1)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 2], tf.float32, name="x"),
                tf.TensorSpec([None], tf.string, name="word"),
                tf.TensorSpec([None, None], tf.int32, name="tags"),
            ]
        )
        def several(self, x, word, tags):
            return {
                "total": tf.reduce_sum(x, 1),
                "word": tf.strings.upper(word),
                "tags": tf.reduce_sum(tags, 1),
            }

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def floats(self, x):
            return {"total": tf.reduce_sum(x, 1)}

    made = Model()
    path = str(tmp_path_factory.mktemp("model") / "examples")
    tf.saved_model.save(
        made,
        path,
        signatures={
            "serving_default": made.parse,
            "several": made.several,
            "floats": made.floats,
        },
    )
    return path


def example(row):
    import tensorflow as tf

    def feature(**lists):
        ((name, values),) = lists.items()
        kinds = {"float_list": "FloatList", "int64_list": "Int64List", "bytes_list": "BytesList"}
        return tf.train.Feature(**{name: getattr(tf.train, kinds[name])(value=values)})

    features = {
        "x": feature(float_list=[row, 0.5]),
        "word": feature(bytes_list=[b"w%d" % row]),
        "tags": feature(int64_list=range(row % 4)),
        "id": feature(int64_list=[1000 + row]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture
def write(tmp_path):
    """A function that has TensorFlow write records to a file."""
    import tensorflow as tf

    def to_file(name, records, compression=""):
        path = tmp_path / name
        with tf.io.TFRecordWriter(str(path), compression) as writer:
            for record in records:
                writer.write(record)
        return path

    return to_file


@pytest.fixture
def run(pipeline, tmp_path, model, outcome_in):
    """A function that runs a job: its predictions, errors and record."""

    def run_job(pattern, form, signature="serving_default", **instance_config):
        job = read_job(
            {
                "displayName": "records",
                "unmanagedContainerModel": {"artifactUri": model},
                "inputConfig": {
                    "instancesFormat": form,
                    "gcsSource": {"uris": [str(tmp_path / pattern)]},
                },
                "instanceConfig": instance_config,
                "outputConfig": {
                    "predictionsFormat": "jsonl",
                    "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
                },
            }
        )
        with pipeline() as p:
            predict = BatchPredict(job.to_spec(RunOptions(signature_name=signature)))
            _ = p | predict
        return outcome_in(predict.directory)

    return run_job


@pytest.mark.parametrize(
    ("form", "compression", "names"),
    [
        ("tf-record", "", ("a", "b")),
        ("tf-record-gzip", "GZIP", ("a", "b")),
        ("tf-record-gzip", "GZIP", ("a.gz", "b.gz")),
        ("tf-record", "GZIP", ("a.gz", "b.gz")),
    ],
)
def test_records_of_both_formats(run, write, form, compression, names):
    rows = [example(row) for row in range(150)]
    write(f"in-{names[0]}", rows[:100], compression)
    write(f"in-{names[1]}", rows[100:], compression)
    predictions, errors, record = run("in-*", form)
    assert errors == []
    assert predictions == [
        {"instance": {"b64": base64.b64encode(row).decode()}, "prediction": at + 0.5}
        for at, row in enumerate(rows)
    ]
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["successfulCount"] == "150"


@pytest.mark.tfx_bsl
def test_examples_into_a_signature_of_several_inputs(run, write):
    write("in", [example(row) for row in range(150)])
    predictions, errors, _ = run("in", "tf-record", "several", keyField="id")
    assert errors == []
    assert predictions == [
        {
            "key": 1000 + row,
            "prediction": {
                "tags": sum(range(row % 4)),
                "total": row + 0.5,
                "word": f"W{row}",
            },
        }
        for row in range(150)
    ]


@pytest.mark.tfx_bsl
def test_included_fields_reach_the_model_alone(run, write, tmp_path, outcome_in):
    write("in", [example(1)])
    with pytest.raises(RunFailed, match="the only row failed"):
        run("in", "tf-record", "several", includedFields=["x", "word"])
    (directory,) = (tmp_path / "out").iterdir()
    predictions, errors, _ = outcome_in(str(directory))
    assert predictions == []
    assert (
        'input "tags": the Example has no such feature; it has "word", "x"'
        in (errors[0]["error"]["message"])
    )


@pytest.mark.tfx_bsl
def test_excluded_fields_stand_in_the_output(run, write):
    write("in", [example(3)])
    predictions, errors, _ = run("in", "tf-record", "floats", excludedFields=["tags", "id"])
    assert errors == []
    assert (predictions[0]["tags"], predictions[0]["id"]) == ([0, 1, 2], 1003)
    assert predictions[0]["prediction"] == 3.5


@pytest.mark.parametrize(
    "signature", ["serving_default", pytest.param("several", marks=pytest.mark.tfx_bsl)]
)
def test_a_damaged_file_loses_no_row_without_a_word(run, write, signature):
    rows = [example(row) for row in range(200)]
    rows[7] = b"no Example"
    first = write("in-1", rows[:100])
    write("in-2", rows[100:])
    content = bytearray(first.read_bytes())
    sizes = [16 + len(row) for row in rows]
    content[sum(sizes[:20]) + 12] ^= 1  # the data of row 20
    content[sum(sizes[:90])] ^= 1  # the length of row 90: nothing is found behind it
    first.write_bytes(content)
    predictions, errors, record = run("in-*", "tf-record", signature)
    totals = [
        line["prediction"]["total"] if signature == "several" else line["prediction"]
        for line in predictions
    ]
    expected = [row + 0.5 for row in range(200) if row not in (7, 20) and not 90 <= row < 100]
    assert totals == expected
    assert len(errors) == 2
    assert errors[1]["error"] == {
        "code": 15,
        "message": "the record's data does not match its checksum "
        f"({first}, byte {sum(sizes[:20])})",
    }
    stats = record["completionStats"]
    assert (stats["successfulCount"], stats["failedCount"]) == ("188", "2")
    failure, *rows_failed = record["partialFailures"]
    assert all(each["message"].startswith("1 row failed: ") for each in rows_failed)
    assert failure["message"] == (
        f"{first}: cannot be read: the length of the record at byte {sum(sizes[:90])} is damaged"
    )
