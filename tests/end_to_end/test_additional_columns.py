"""Columns that are no inputs: the model does not get them, and the output shows them."""

import json
from decimal import Decimal

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_batch_predict.cli import main

ROWS = [
    {"id": "007", "height": 1.5, "note": None, "name": "1e5", "count": 3},
    {"id": "7", "height": 2.0, "note": "a, b", "name": "Nan", "count": 2**53 + 1},
    {"id": "1e5", "height": 2.5, "note": "", "name": "ada", "count": 4},
]
PREDICTIONS = [
    {"more": row["count"] + 1, "same": row["name"], "twice": 2 * row["height"]} for row in ROWS
]
TYPES = {"height": "double", "height_": "double", "note": ["null", "string"], "count": "long"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel of three inputs, and of one input per signature."""
    import tensorflow as tf

    def spec(name, dtype, *row_shape):
        return tf.TensorSpec([None, *row_shape], dtype, name=name)

    class Columns(tf.Module):
        @tf.function(
            input_signature=[
                spec("height", tf.float32),
                spec("name", tf.string),
                spec("count", tf.int64),
            ]
        )
        def all(self, height, name, count):
            return {"twice": 2 * height, "same": tf.identity(name), "more": count + 1}

        @tf.function(input_signature=[spec("name", tf.string)])
        def name(self, name):
            return {"same": tf.identity(name)}

        @tf.function(input_signature=[spec("vector", tf.float32, 2)])
        def vector(self, vector):
            return {"sum": tf.reduce_sum(vector, axis=1)}

    path = str(tmp_path_factory.mktemp("columns") / "model")
    module = Columns()
    signatures = {"serving_default": module.all, "name": module.name, "vector": module.vector}
    tf.saved_model.save(module, path, signatures=signatures)
    return path


def write(path, rows=ROWS):
    kind = path.suffix[1:]
    if kind == "csv":
        lines = ["id,height,note,name,count"]
        for row in rows:
            note = "" if row["note"] is None else f'"{row["note"]}"'
            lines.append(f"{row['id']},{row['height']},{note},{row['name']},{row['count']}.0")
        path.write_text("\n".join(lines))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "avro":
        with path.open("wb") as file:
            fields = [{"name": name, "type": TYPES.get(name, "string")} for name in rows[0]]
            fastavro.writer(file, {"type": "record", "name": "r", "fields": fields}, rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(tmp_path, model, capfd):
    """A function that runs the command on files of a kind: the output directory and the notes."""

    def run_files(kind, *flags, exit_code=0):
        arguments = ["run", f"--instances_format={kind}", f"--input_uris={tmp_path}/*.{kind}"]
        arguments += [f"--model_uri={model}", f"--output_uri_prefix={tmp_path}/out", *flags]
        assert main(arguments) == exit_code
        notes = [line for line in capfd.readouterr().err.splitlines() if line.startswith("note: ")]
        (directory,) = (tmp_path / "out").iterdir()
        return directory, [note for note in notes if "column" in note or "input" in note]

    return run_files


def records(directory, kind="predictions", **parsing):
    lines = (
        line
        for path in sorted(directory.glob(f"{kind}_*.jsonl"))
        for line in path.read_text().splitlines()
    )
    return [json.loads(line, **parsing) for line in lines]


@pytest.mark.parametrize("kind", ["csv", "parquet", "avro"])
@pytest.mark.parametrize("shape", ["array", "object"])
def test_the_model_gets_its_inputs_and_the_output_shows_all_columns(kind, shape, tmp_path, run):
    write(tmp_path / f"in.{kind}")
    directory, notes = run(kind, f"--instance_type={shape}")
    found = records(directory)
    assert [record["prediction"] for record in found] == PREDICTIONS
    assert notes == [
        'note: the model does not get the columns "id", "note", because it has no such input'
    ]
    echoes = [record["instance"] for record in records(directory, parse_float=Decimal)]
    assert all(
        (list(echo) if shape == "object" else len(echo))
        == (list(ROWS[0]) if shape == "object" else len(ROWS[0]))
        for echo in echoes
    )
    values = [list(echo.values()) if shape == "object" else echo for echo in echoes]
    assert [value[3] for value in values] == ["1e5", "Nan", "ada"]
    assert [value[4] for value in values] == [3, 2**53 + 1, 4]
    assert values[1][2] == "a, b"


@pytest.mark.parametrize("kind", ["csv", "parquet", "avro"])
def test_typed_output_has_the_types_of_the_inputs(kind, tmp_path, run):
    write(tmp_path / f"in.{kind}")
    directory, _ = run(kind, "--predictions_format=parquet")
    table = pa.concat_tables(map(pq.read_table, sorted(directory.glob("predictions_*.parquet"))))
    assert table["name"].to_pylist() == ["1e5", "Nan", "ada"]
    assert table["count"].to_pylist() == [3, 2**53 + 1, 4]
    assert table.schema.field("count").type == pa.int64()


@pytest.mark.parametrize("kind", ["csv", "parquet", "avro"])
def test_a_key_and_excluded_fields_are_not_noted(kind, tmp_path, run):
    write(tmp_path / f"in.{kind}")
    directory, notes = run(kind, "--key_field=id", "--excluded_fields=note")
    assert notes == []
    assert [record["prediction"] for record in records(directory)] == PREDICTIONS


@pytest.mark.parametrize("kind", ["csv", "parquet", "avro"])
def test_a_missing_input_is_noted_with_the_nearest_column(kind, tmp_path, run):
    row = {"id": "a", "height_": 1.5, "name": "b", "count": 1}
    if kind == "csv":
        (tmp_path / "in.csv").write_text("id,height_,name,count\na,1.5,b,1\n")
    else:
        write(tmp_path / f"in.{kind}", [row])
    directory, notes = run(kind, exit_code=1)
    assert notes == [
        'note: no column fills the input "height" (did you mean "height_"?): every row is an error'
    ]
    (error,) = records(directory, "errors")
    assert 'input "height" is missing' in error["error"]["message"]


def test_additional_fields_of_json_lines_stay_errors(tmp_path, run):
    write(tmp_path / "in.jsonl")
    directory, notes = run("jsonl", exit_code=1)
    assert (records(directory), notes) == ([], [])
    messages = [error["error"]["message"] for error in records(directory, "errors")]
    assert all('the signature has no inputs "id", "note"' in message for message in messages)
    assert len(messages) == len(ROWS)


@pytest.mark.parametrize("kind", ["csv", "parquet", "avro"])
def test_a_single_input_takes_the_column_with_its_name(kind, tmp_path, run):
    write(tmp_path / f"in.{kind}")
    directory, notes = run(kind, "--signature_name=name")
    assert [record["prediction"] for record in records(directory)] == ["1e5", "Nan", "ada"]
    assert notes == [
        'note: the input "name" takes its column, without the columns "id", "height", "note", '
        '"count"'
    ]


def test_a_single_input_takes_the_column_of_arrays_with_its_name(tmp_path, run):
    rows = [{"id": "a", "vector": [1.0, 2.0]}, {"id": "b", "vector": [3.0, 4.0]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    directory, notes = run("parquet", "--signature_name=vector")
    assert records(directory) == [
        {"instance": ["a", [1.0, 2.0]], "prediction": 3.0},
        {"instance": ["b", [3.0, 4.0]], "prediction": 7.0},
    ]
    assert notes == [
        'note: if the column "vector" has arrays, the input of this name takes it, without the '
        'column "id"'
    ]


def test_a_single_input_takes_whole_rows_without_a_note(tmp_path, run):
    (tmp_path / "in.csv").write_text("x,vector\n1,2\n3,4\n")
    directory, notes = run("csv", "--signature_name=vector")
    assert [record["prediction"] for record in records(directory)] == [3.0, 7.0]
    assert notes == []


def test_a_column_that_a_parameter_sets_is_left_out(tmp_path, run):
    write(tmp_path / "in.csv")
    parameters = json.dumps({"name": "fixed"})
    directory, notes = run("csv", f"--model_parameters={parameters}")
    assert {record["prediction"]["same"] for record in records(directory)} == {"fixed"}
    assert notes == [
        'note: the model does not get the columns "id", "note", because it has no such input',
        'note: the model does not get the column "name", because modelParameters sets this input',
    ]


@pytest.mark.parametrize("kind", ["parquet", "avro"])
@pytest.mark.parametrize("shape", ["array", "object"])
def test_a_later_file_may_lack_a_column_that_is_no_input(kind, shape, tmp_path, run):
    write(tmp_path / f"a.{kind}")
    write(tmp_path / f"b.{kind}", [{k: row[k] for k in row if k != "note"} for row in ROWS])
    write(tmp_path / f"c.{kind}", [{k: row[k] for k in row if k != "name"} for row in ROWS])
    directory, _ = run(kind, f"--instance_type={shape}")
    found = records(directory)
    assert [record["prediction"] for record in found] == PREDICTIONS * 2
    row = {**ROWS[1], "note": None}
    assert found[4]["instance"] == (row if shape == "object" else list(row.values()))
    messages = [error["error"]["message"] for error in records(directory, "errors")]
    assert len(messages) == 3
    assert all('column "name" is missing' in message for message in messages)


def test_a_column_without_a_tensor_fails_no_row(tmp_path, run):
    rows = [
        {**row, "note": {"odd": [Decimal("1.5"), None]}, "id": b"\xff" if row["note"] else None}
        for row in ROWS
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    directory, _ = run("parquet")
    assert [record["prediction"] for record in records(directory)] == PREDICTIONS
