"""A Keras model with an input of shape (1,) for each column: rows from every file format fit."""

import json

import fastavro
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

ROWS = [
    {"height": 1.5, "name": "ada", "weight": 60.0},
    {"height": 2.0, "name": "bo", "weight": 80.5},
]
FIELDS = [{"name": name, "type": "string" if name == "name" else "double"} for name in ROWS[0]]
PREDICTIONS = [{"same": [row["name"]], "total": [row["height"] + row["weight"]]} for row in ROWS]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import keras

    inputs = {
        name: keras.Input((1,), name=name, dtype="string" if name == "name" else "float32")
        for name in ROWS[0]
    }
    total = keras.layers.Add()([inputs["height"], inputs["weight"]])
    network = keras.Model(inputs, {"same": inputs["name"], "total": total})
    path = str(tmp_path_factory.mktemp("keras") / "columns")
    network.export(path, format="tf_saved_model", verbose=False)
    return path


def write(path, kind):
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "csv":
        pa.csv.write_csv(pa.Table.from_pylist(ROWS), path)
    elif kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        with path.open("wb") as file:
            fastavro.writer(file, {"type": "record", "name": "r", "fields": FIELDS}, ROWS)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "avro"])
def test_each_cell_fits_its_input(model, run_job, tmp_path, kind):
    write(tmp_path / f"in.{kind}", kind)
    predictions, errors, _ = run_job(kind, f"in.{kind}", model)
    assert errors == []
    assert [line["prediction"] for line in predictions] == PREDICTIONS
