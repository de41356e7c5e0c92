"""Jobs on Avro files, end to end: rows in are predictions and errors out."""

import datetime

import fastavro
import pytest

SYNC = bytes(range(100, 116))

FLOATS = {
    "type": "record",
    "name": "Floats",
    "fields": [{"name": "a", "type": "float"}, {"name": "b", "type": ["null", "double"]}],
}

NAMED = {
    "type": "record",
    "name": "Named",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "x", "type": {"type": "array", "items": "float"}},
        {"name": "word", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel of two signatures: rows of two floats, and several inputs."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="v")])
        def total(self, v):
            return {"total": tf.reduce_sum(v, 1)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 2], tf.float32, name="x"),
                tf.TensorSpec([None], tf.string, name="word"),
            ]
        )
        def several(self, x, word):
            return {"total": tf.reduce_sum(x, 1), "word": tf.strings.upper(word)}

    made = Model()
    path = str(tmp_path_factory.mktemp("model") / "rows")
    signatures = {"serving_default": made.total, "several": made.several}
    tf.saved_model.save(made, path, signatures=signatures)
    return path


@pytest.fixture
def write(tmp_path):
    """A function that has fastavro write rows to a file, some to a block."""

    def to_file(name, schema, rows, codec="null", per_block=50):
        path = tmp_path / name
        with open(path, "wb") as file:
            writer = fastavro.write.Writer(
                file, schema, codec, sync_interval=1 << 30, sync_marker=SYNC
            )
            for number, row in enumerate(rows):
                if number and number % per_block == 0:
                    writer.dump()
                writer.write(row)
            writer.flush()
        return path

    return to_file


@pytest.fixture
def run(run_job, model):
    """A function that runs a job: its predictions, errors and record."""
    return lambda pattern, *args, **config: run_job("avro", pattern, model, *args, **config)


def floats(start, stop):
    return [{"a": row / 10, "b": row + 0.5} for row in range(start, stop)]


def named(start, stop):
    at = datetime.datetime(2019, 1, 1, tzinfo=datetime.timezone.utc)
    return [
        {"id": row, "x": [row, 0.1], "word": f"w{row}", "at": at + datetime.timedelta(days=row)}
        for row in range(start, stop)
    ]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
@pytest.mark.parametrize("chunk_bytes", [None, 700])
def test_rows_are_arrays_of_their_fields(run, write, codec, chunk_bytes):
    write("in-1.avro", FLOATS, floats(0, 300), codec)
    write("in-2.avro", FLOATS, floats(300, 301), codec)
    predictions, errors, record = run("in-*", chunk_bytes=chunk_bytes)
    assert errors == []
    assert [line["instance"] for line in predictions] == [
        [row / 10, row + 0.5] for row in range(301)
    ]
    assert predictions[3]["prediction"] == pytest.approx(3.8)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["successfulCount"] == "301"


def test_objects_with_keys(run, write):
    write("in.avro", NAMED, named(0, 120), "deflate")
    fields = {"includedFields": ["x", "word"], "keyField": "id", "instanceType": "object"}
    predictions, errors, _ = run("in.avro", "several", **fields)
    assert errors == []
    assert [line["key"] for line in predictions] == [*range(120)]
    assert predictions[7]["prediction"] == {"total": pytest.approx(7.1), "word": "W7"}


def test_excluded_fields_stand_in_the_output_as_json(run, write):
    write("in.avro", NAMED, named(0, 3))
    fields = {"excludedFields": ["at", "id"], "instanceType": "object"}
    predictions, errors, _ = run("in.avro", "several", **fields)
    assert errors == []
    assert predictions[2]["at"] == "2019-01-03 00:00:00+00:00"
    assert predictions[2]["id"] == 2
    assert predictions[2]["instance"] == {"x": [2.0, 0.1], "word": "w2"}


def test_the_error_of_a_row_that_the_model_refuses_has_its_location(run, write):
    rows = floats(0, 100)
    rows[61]["b"] = None
    path = write("in.avro", FLOATS, rows)
    with open(path, "rb") as file:
        second = list(fastavro.block_reader(file))[1].offset
    predictions, errors, _ = run("in.avro")
    assert len(predictions) == 99
    assert len(errors) == 1
    assert f"({path}, byte {second}, record 11)" in errors[0]["error"]["message"]


@pytest.mark.parametrize(("chunk_bytes", "last"), [(None, 100), (700, 250)])
def test_a_damaged_block_ends_its_chunk_and_says_so(run, write, chunk_bytes, last):
    path = write("in.avro", FLOATS, floats(0, 300))
    with open(path, "rb") as file:
        starts = [block.offset for block in fastavro.block_reader(file)]
    content = bytearray(path.read_bytes())
    content[starts[3] - 1] ^= 1  # the marker behind block 2
    path.write_bytes(content[:-40])  # block 5 is cut
    predictions, errors, record = run("in.avro", chunk_bytes=chunk_bytes)
    assert errors == []
    kept = [row for row in range(last) if not 100 <= row < 200]
    assert [line["instance"][1] for line in predictions] == [row + 0.5 for row in kept]
    assert [status["message"].split(": ")[0] for status in record["partialFailures"]] == [
        f"{path}, byte {start}"
        for start in (starts[2], starts[5])
        if last > 200 or start < starts[5]
    ]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"[1, 2]\n", "it is text: set instancesFormat to jsonl or csv"),
        (b"PAR1\x15\x04", "it is a Parquet file: set instancesFormat to parquet"),
        (b"\0\1\2", "it does not begin with 'Obj'"),
    ],
)
def test_a_file_that_is_no_avro_file_starts_no_job(run, tmp_path, content, found):
    (tmp_path / "in.avro").write_bytes(content)
    with pytest.raises(Exception, match=f"it is not an Avro object container file: {found}"):
        run("in.avro")


def test_a_file_without_rows(run, write):
    write("in.avro", FLOATS, [])
    predictions, errors, record = run("in.avro")
    assert (predictions, errors) == ([], [])
    assert record["state"] == "JOB_STATE_SUCCEEDED"
