"""Every source into files and into tables: the same rows, cell by cell.

What is expected is written out here; nothing of it comes from the code that decides.
"""

import base64
import gzip
import itertools
import json
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from emulators import servers
from google.cloud.bigquery import LoadJobConfig, SchemaField
from helpers.matrices import sliced

from beam_batch_predict import cli
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import SavedModel

ROWS = [
    {
        "id": "a",
        "x": 1.5,
        "tags": ["t", "ü"],
        "place": {"lat": 1.5, "names": ["n", "m"]},
        "note": None,
    },
    {"id": "bb", "x": None, "tags": [], "place": None, "note": "fails"},
    {"id": "ccc", "x": -2.0, "tags": ["v"], "place": {"lat": None, "names": []}, "note": "é"},
    {"id": "dddd", "x": 0.25, "tags": [], "place": {"lat": 2.0, "names": ["o"]}, "note": ""},
]
"""The second has no x, which the model must have."""

NESTED = ("id", "tags", "place", "note")
FLAT = ("id", "note")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel: twice x, also from tf.train.Examples; the length of a text."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def twice(self, x):
            return {"y": 2 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def example(self, examples):
            features = {"x": tf.io.FixedLenFeature([], tf.float32)}
            return {"y": 2 * tf.io.parse_example(examples, features)["x"]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="content")])
        def length(self, content):
            return {"y": tf.cast(tf.strings.length(content), tf.float32)}

    made = Model()
    path = str(tmp_path_factory.mktemp("model") / "matrix")
    names = ("twice", "example", "length")
    tf.saved_model.save(made, path, signatures={name: getattr(made, name) for name in names})
    held = [load_model(SavedModel(path, name)) for name in names]  # for all of the jobs
    yield path
    del held


def write_lines(path):
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def write_csv(path):
    cells = (
        [json.dumps(row[name], ensure_ascii=False) for name in ("id", "x", "note")] for row in ROWS
    )
    lines = (",".join("" if cell == "null" else cell for cell in line) for line in cells)
    path.write_text("".join(f"{line}\n" for line in ["id,x,note", *lines]))


def write_records(path):
    import tensorflow as tf

    def feature(value):
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        texts = [value] if isinstance(value, str) else value
        values = [text.encode() for text in texts]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in ROWS:
            kept = {n: feature(row[n]) for n in ("id", "x", "tags", "note") if row[n] is not None}
            example = tf.train.Example(features=tf.train.Features(feature=kept))
            writer.write(example.SerializeToString())


def write_list(path):
    for row in ROWS:
        if row["x"] is not None:
            (path.parent / row["id"]).write_text(row["id"])
    path.write_text("".join(f"{path.parent / row['id']}\n" for row in ROWS))


def write_parquet(path):
    place = pa.struct([("lat", pa.float64()), ("names", pa.list_(pa.string()))])
    schema = [("id", pa.string()), ("x", pa.float32()), ("tags", pa.list_(pa.string()))]
    schema = pa.schema([*schema, ("place", place), ("note", pa.string())])
    pq.write_table(pa.Table.from_pylist(ROWS, schema), path, row_group_size=2)


def write_avro(path):
    strings = {"type": "array", "items": "string"}
    place = [
        {"name": "lat", "type": ["null", "double"]},
        {"name": "names", "type": strings},
    ]
    fields = [
        {"name": "id", "type": "string"},
        {"name": "x", "type": ["null", "float"]},
        {"name": "tags", "type": strings},
        {"name": "place", "type": ["null", {"type": "record", "name": "P", "fields": place}]},
        {"name": "note", "type": ["null", "string"]},
    ]
    schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})
    with path.open("wb") as file:
        fastavro.writer(file, schema, ROWS, sync_interval=1)


def write_gzip_records(path):
    write_records(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


WRITERS = {
    "jsonl": write_lines,
    "csv": write_csv,
    "tf-record": write_records,
    "tf-record-gzip": write_gzip_records,
    "file-list": write_list,
    "parquet": write_parquet,
    "avro": write_avro,
}


@pytest.fixture
def source_table(bigquery_client, dataset):
    place = [SchemaField("lat", "FLOAT64"), SchemaField("names", "STRING", "REPEATED")]
    schema = [
        SchemaField("id", "STRING"),
        SchemaField("x", "FLOAT64"),
        SchemaField("tags", "STRING", "REPEATED"),
        SchemaField("place", "RECORD", fields=place),
        SchemaField("note", "STRING"),
    ]
    name = f"{servers.PROJECT}.{dataset}.source"
    config = LoadJobConfig(schema=schema)
    bigquery_client.load_table_from_json(ROWS, name, job_config=config).result()
    return name


@pytest.fixture
def input_of(tmp_path, request):
    """A function that writes the rows in a format, and describes them."""

    def make(form):
        if form == "bigquery":
            uri = f"bq://{request.getfixturevalue('source_table')}"
            return {"instancesFormat": form, "bigquerySource": {"inputUri": uri}}
        path = tmp_path / f"rows.{form}"
        WRITERS[form](path)
        return {"instancesFormat": form, "gcsSource": {"uris": [str(path)]}}

    return make


@pytest.fixture
def outcome_of(tmp_path, model, dataset, bigquery_client, input_of, capfd):
    """A function that runs a job: its rows of predictions and of errors, and the record."""

    def from_files(record):
        found = {"predictions": [], "errors": []}
        for path in sorted(Path(record["outputInfo"]["gcsOutputDirectory"]).glob("*.jsonl")):
            found[path.name.split("_")[0]] += map(json.loads, path.read_text().splitlines())
        return [list(map(flat, rows)) for rows in found.values()]

    def from_tables(record):
        tables = ("out", "out_errors")
        return [list(map(dict, bigquery_client.list_rows(f"{dataset}.{each}"))) for each in tables]

    places = {
        "jsonl": ({"gcsDestination": {"outputUriPrefix": str(tmp_path / "out")}}, from_files),
        "bigquery": (
            {"bigqueryDestination": {"outputUri": f"bq://{servers.PROJECT}.{dataset}.out"}},
            from_tables,
        ),
    }

    def run(source, destination, signature, config):
        place, read = places[destination]
        job = {
            "displayName": "matrix",
            "unmanagedContainerModel": {"artifactUri": model},
            "inputConfig": input_of(source),
            "instanceConfig": config,
            "outputConfig": {"predictionsFormat": destination, **place},
        }
        (tmp_path / "job.json").write_text(json.dumps(job))
        flags = [f"--signature_name={signature}", "--chunk_bytes=60"]
        assert cli.main(["run", str(tmp_path / "job.json"), *flags]) == 0
        record = json.loads(capfd.readouterr().out)
        predicted, failed = read(record)
        counted = [
            record["completionStats"].get(f"{kind}Count") for kind in ("successful", "failed")
        ]
        assert counted == [str(len(predicted)), str(len(failed))]
        return predicted, failed

    return run


def flat(row):
    """A record with the fields of its instance as a table has them."""
    instance = row.pop("instance", None)
    if isinstance(instance, dict) and "b64" not in instance:
        row = instance | row
    elif isinstance(instance, list):
        row = dict(zip("x", instance, strict=True)) | row
    elif instance is not None:
        row = {
            "instance": base64.b64decode(instance["b64"])
            if isinstance(instance, dict)
            else instance
        } | row
    if "error" in row:
        row["errors"] = row.pop("error")
    return row


def sorted_by(rows, name):
    return sorted(rows, key=lambda row: str(row[name]))


def check(outcome, wanted, name):
    """Rows are those wanted, but for the text of the one error."""
    predicted, (failed,) = outcome
    status = failed.pop("errors")
    assert (status["code"], bool(status["message"])) == (3, True)
    assert sorted_by(predicted, name) == wanted[:-1]
    assert failed == wanted[-1]


def rows_of(names, shown):
    """What is wanted of the rows: first those with x."""
    made = [
        {**shown(row), **{name: row[name] for name in names}, "prediction": 2 * (row["x"] or 0)}
        for row in (ROWS[0], ROWS[2], ROWS[3], ROWS[1])
    ]
    del made[-1]["prediction"]
    return made


def from_each(*sources):
    """Each source into files and into tables."""
    cells = sliced(itertools.product(sources, ["bigquery", "jsonl"]), together=1)
    return pytest.mark.parametrize(("source", "destination"), cells)


@from_each("jsonl", "parquet", "avro", "bigquery")
def test_fields_that_are_not_sent_are_beside_the_prediction(outcome_of, source, destination):
    config = {"instanceType": "object", "excludedFields": NESTED}
    outcome = outcome_of(source, destination, "twice", config)
    check(outcome, rows_of(NESTED, lambda row: {"x": row["x"]}), "id")


@from_each("bigquery", "avro", "parquet", "csv", "jsonl")
def test_a_key_replaces_the_instance_in_the_table(outcome_of, source, destination):
    config = {"instanceType": "object", "keyField": "id", "includedFields": ["x"]}
    if source == "csv":
        config = {"instanceType": "object", "keyField": "id", "excludedFields": ["note"]}
    outcome = outcome_of(source, destination, "twice", config)
    check(outcome, rows_of((), lambda row: {"key": row["id"]}), "key")


@pytest.mark.parametrize("destination", ["bigquery", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_cells_of_csv_files_are_beside_the_prediction(outcome_of, destination):
    config = {"instanceType": "object", "excludedFields": FLAT}
    outcome = outcome_of("csv", destination, "twice", config)
    check(outcome, rows_of(FLAT, lambda row: {"x": row["x"]}), "id")


@pytest.mark.tfx_bsl
@from_each("tf-record", "tf-record-gzip")
def test_records_and_their_features_are_beside_the_prediction(outcome_of, source, destination):
    import tensorflow as tf

    predicted, failed = outcome_of(source, destination, "example", {"excludedFields": FLAT})
    for row in predicted + failed:
        sent = tf.train.Example.FromString(row.pop("instance")).features.feature
        row["x"] = sent["x"].float_list.value[0] if "x" in sent else None
        row["tags"] = [text.decode() for text in sent["tags"].bytes_list.value]
        assert not sent.keys() & set(FLAT)
        row.setdefault("note", None)  # which a record that lacks it does not have in a file
    wanted = rows_of(FLAT, lambda row: {"x": row["x"], "tags": row["tags"]})
    check((predicted, failed), wanted, "id")


@pytest.mark.tfx_bsl
@from_each("tf-record", "tf-record-gzip")
def test_a_feature_is_the_key_of_a_record(outcome_of, source, destination):
    outcome = outcome_of(source, destination, "example", {"keyField": "id"})
    check(outcome, rows_of((), lambda row: {"key": row["id"]}), "key")


@pytest.mark.parametrize("destination", ["bigquery", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_listed_files_are_named_beside_the_prediction(outcome_of, destination, tmp_path):
    predicted, (failed,) = outcome_of("file-list", destination, "length", {})
    assert sorted_by(predicted, "instance") == [
        {"instance": str(tmp_path / name), "prediction": float(len(name))}
        for name in ("a", "ccc", "dddd")
    ]
    assert failed["instance"] == str(tmp_path / "bb")
    assert failed["errors"]["code"] == 5


TYPED = {
    "i": "9007199254740993",
    "b": "true",
    "s": "'é'",
    "by": "FROM_HEX('00ff')",
    "n": "NUMERIC '4925.000000001'",
    "ts": "TIMESTAMP '2019-01-01 23:59:59.999999+00'",
    "dt": "DATETIME '2019-01-01T00:00:00'",
    "d": "DATE '0001-01-01'",
    "t": "TIME '23:59:59.999999'",
    "arr": "[1, 2]",
    "st": "STRUCT(1 AS a, [STRUCT('x' AS b)] AS r)",
}


def test_columns_of_a_table_keep_their_types_and_values(
    bigquery_client, dataset, model, tmp_path, capfd
):
    values = ", ".join(f"{value} AS {name}" for name, value in TYPED.items())
    table = f"{servers.PROJECT}.{dataset}.typed"
    bigquery_client.query_and_wait(
        f"CREATE TABLE `{table}` AS SELECT CAST(1.5 AS FLOAT64) AS x, {values}"
    )
    bigquery_client.query_and_wait(f"INSERT INTO `{table}` (x, arr) VALUES (2, [])")
    job = {
        "displayName": "typed",
        "unmanagedContainerModel": {"artifactUri": model},
        "inputConfig": {
            "instancesFormat": "bigquery",
            "bigquerySource": {"inputUri": f"bq://{table}"},
        },
        "instanceConfig": {"instanceType": "object", "excludedFields": list(TYPED)},
        "outputConfig": {
            "predictionsFormat": "bigquery",
            "bigqueryDestination": {"outputUri": f"bq://{servers.PROJECT}.{dataset}.out"},
        },
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    flags = ["run", str(tmp_path / "job.json"), "--signature_name=twice"]
    assert cli.main(flags) == 0, capfd.readouterr().err
    source, out = (bigquery_client.get_table(f"{dataset}.{name}") for name in ("typed", "out"))
    kinds = {field.name: (field.field_type, field.mode, field.fields) for field in source.schema}
    found = {field.name: (field.field_type, field.mode, field.fields) for field in out.schema}
    assert found == {**kinds, "prediction": ("FLOAT", "NULLABLE", ())}
    before, after = (
        sorted(map(dict, bigquery_client.list_rows(each)), key=lambda row: row["x"])
        for each in (source, out)
    )
    assert after == [{**row, "prediction": 2 * row["x"]} for row in before]
