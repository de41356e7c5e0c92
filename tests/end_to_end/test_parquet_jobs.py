"""Jobs on Parquet files, end to end: rows in are predictions and errors out."""

import datetime
import decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_batch_predict.errors import InvalidArgument, SourceError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel of two signatures: rows of two floats, and several inputs."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="v")])
        def weighted(self, v):
            return {"sum": v[:, 0] + 10 * v[:, 1]}

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
    signatures = {"serving_default": made.weighted, "several": made.several}
    tf.saved_model.save(made, path, signatures=signatures)
    return path


@pytest.fixture
def write(tmp_path):
    """A function that writes a table to a file."""

    def to_file(name, table, **options):
        path = tmp_path / name
        pq.write_table(table, path, **options)
        return path

    return to_file


@pytest.fixture
def run(run_job, model):
    """A function that runs a job: its predictions, errors and record."""
    return lambda pattern, *args, **config: run_job("parquet", pattern, model, *args, **config)


def pairs(start, stop):
    rows = range(start, stop)
    return pa.table({"a": pa.array(rows, pa.float32()), "b": [row / 2 for row in rows]})


def named(start, stop):
    rows = range(start, stop)
    day = datetime.datetime(2019, 1, 1)
    return pa.table(
        {
            "id": rows,
            "x": pa.array([[row, 0.5] for row in rows], pa.list_(pa.float32())),
            "word": pa.array([f"w{row % 3}" for row in rows]).dictionary_encode(),
            "at": pa.array(
                [day + datetime.timedelta(days=row) for row in rows], pa.timestamp("us")
            ),
            "price": pa.array([decimal.Decimal(row) / 4 for row in rows], pa.decimal128(10, 2)),
        }
    )


@pytest.mark.parametrize("chunk_bytes", [None, 900])
def test_rows_are_arrays_of_their_cells(run, write, chunk_bytes):
    write("a.parquet", pairs(0, 100), row_group_size=7)
    write("b.parquet", pairs(100, 130), compression="zstd")
    predictions, errors, record = run("*.parquet", chunk_bytes=chunk_bytes)
    assert errors == []
    assert predictions == [
        {"instance": [row, row / 2], "prediction": 6.0 * row} for row in range(130)
    ]
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["successfulCount"] == "130"


def test_files_with_other_orders_of_columns_give_the_same_arrays(run, write):
    write("a.parquet", pairs(0, 10))
    write("b.parquet", pairs(10, 20).select(["b", "a"]))
    predictions, errors, _ = run("*.parquet")
    assert errors == []
    assert [line["prediction"] for line in predictions] == [6.0 * row for row in range(20)]


def test_objects_with_a_key_into_a_signature_of_several_inputs(run, write):
    write("in.parquet", named(0, 150), row_group_size=40)
    config = {"instanceType": "object", "keyField": "id", "excludedFields": ["at", "price"]}
    predictions, errors, _ = run("in.parquet", "several", **config)
    assert errors == []
    assert predictions == [
        {"key": row, "prediction": {"total": row + 0.5, "word": f"W{row % 3}"}}
        for row in range(150)
    ]


def test_included_fields_reach_the_model_alone(run, write):
    write("in.parquet", named(0, 3))
    config = {"instanceType": "object", "includedFields": ["word", "x"]}
    predictions, errors, _ = run("in.parquet", "several", **config)
    assert errors == []
    assert predictions[1] == {
        "instance": {"word": "w1", "x": [1.0, 0.5]},
        "prediction": {"total": 1.5, "word": "W1"},
    }


def test_excluded_fields_stand_in_the_output(run, write):
    write("in.parquet", named(0, 3))
    config = {"instanceType": "object", "excludedFields": ["id", "at", "price"]}
    predictions, errors, _ = run("in.parquet", "several", **config)
    assert errors == []
    assert {name: predictions[2][name] for name in config["excludedFields"]} == {
        "id": 2,
        "at": "2019-01-03T00:00:00",
        "price": 0.5,
    }


def test_rows_that_do_not_fit_are_errors_with_their_row(run, write):
    path = write("in.parquet", pa.table({"a": [1.0, None, 3.0], "b": [1.0, 2.0, 3.0]}))
    predictions, errors, record = run("in.parquet")
    assert [line["prediction"] for line in predictions] == [11.0, 33.0]
    (error,) = errors
    assert error["instance"] == [None, 2.0]
    assert error["error"]["code"] == 3
    assert error["error"]["message"].endswith(f"({path}, row 1)")
    assert record["completionStats"]["failedCount"] == "1"


def test_a_file_that_lacks_a_column_has_errors_for_its_rows(run, write):
    write("a.parquet", pairs(0, 3))
    path = write("b.parquet", pairs(3, 5).select(["a"]))
    predictions, errors, _ = run("*.parquet")
    assert [line["prediction"] for line in predictions] == [0.0, 6.0, 12.0]
    assert [f"({path}, row {row})" in errors[row]["error"]["message"] for row in (0, 1)] == [
        True
    ] * 2


def test_columns_with_other_capital_letters_are_other_columns(run, write):
    write("a.parquet", pairs(0, 2))
    write("b.parquet", pairs(2, 4).rename_columns(["b", "A"]))
    predictions, errors, _ = run("*.parquet")
    assert [line["prediction"] for line in predictions] == [0.0, 6.0]
    for error in errors:
        assert error["error"]["message"].startswith(
            'column "a" is missing; give the columns of all files the names that they have in the '
            "first file, with the same capital letters ("
        )
    assert len(errors) == 2


def test_a_damaged_row_group_is_reported_and_the_others_are_predicted(run, write):
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    path = write("in.parquet", pairs(0, 30), row_group_size=10, write_page_checksum=True, **plain)
    content = bytearray(path.read_bytes())
    content[bytes(content).index(pa.array([7.5]).buffers()[1].to_pybytes()[:8])] ^= 1
    path.write_bytes(content)
    predictions, errors, record = run("in.parquet")
    kept = [*range(10), *range(20, 30)]
    assert [line["prediction"] for line in predictions] == [6.0 * row for row in kept]
    assert errors == []
    (failure,) = record["partialFailures"]
    assert f"{path}, row group 1 (rows 10 to 19): cannot be read" in failure["message"]
    assert record["completionStats"]["incompleteCount"] == "-1"


def test_text_that_is_not_utf8_is_a_row_error(run, write):
    words = pa.array([b"ok", b"\xff", b"more"])
    texts = pa.Array.from_buffers(pa.string(), 3, words.buffers())
    table = pa.table({"word": texts, "x": [[1.0, 2.0]] * 3})
    path = write("in.parquet", table)
    predictions, errors, _ = run("in.parquet", "several", instanceType="object")
    assert [line["prediction"]["word"] for line in predictions] == ["OK", "MORE"]
    (error,) = errors
    assert error["error"]["message"] == f'column "word": invalid UTF-8 ({path}, row 1)'


def test_a_first_file_that_is_not_parquet_is_refused_before_the_job(run, tmp_path):
    (tmp_path / "in.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="it is not a Parquet file"):
        run("in.parquet")


def test_a_key_that_is_no_column_is_refused_before_the_job(run, write):
    write("in.parquet", pairs(0, 3))
    with pytest.raises(InvalidArgument, match='"key" is not a column'):
        run("in.parquet", keyField="key")


def test_files_without_rows_make_a_job_without_rows(run, write):
    write("in.parquet", pairs(0, 0))
    predictions, errors, record = run("in.parquet")
    assert (predictions, errors) == ([], [])
    assert record["state"] == "JOB_STATE_SUCCEEDED"
