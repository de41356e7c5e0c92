"""Every cell of the table of formats and instanceConfig, as a job through a real model.

What is expected is written out here, from the service's reference and our docs; nothing of
it comes from the code that decides.
"""

import base64
import csv
import gzip
import itertools
import json
import pathlib

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.matrices import sliced

from beam_batch_predict import cli
from beam_batch_predict.jobs import (
    SUPPORTED_INSTANCES_FORMATS,
    SUPPORTED_PREDICTIONS_FORMATS,
    read_job,
)
from beam_batch_predict.jobs.vertex.instance_rules import instance_extensions
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import SavedModel

ROWS = [
    {"id": "a", "x": 1.5, "y": 2},
    {"id": "bb", "x": -3.25, "y": 40},
    {"id": "ccc", "x": 0.5, "y": 600},
]
RECORDS = ("tf-record", "tf-record-gzip")
TABLES = ("csv", "parquet", "avro")
FORMATS = ("jsonl", *TABLES, *RECORDS, "file-list")
TYPES = (None, "object", "array")
CONFIGS = {
    "none": {},
    "key": {"keyField": "id"},
    "included": {"includedFields": ["y", "x"]},
    "excluded": {"excludedFields": ["id"]},
    "key, included": {"keyField": "id", "includedFields": ["y", "x"]},
    "key, excluded": {"keyField": "id", "excludedFields": ["y"]},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel whose signatures tell what was sent, and in which order."""
    import tensorflow as tf

    def spec(dtype, name, *shape):
        return tf.TensorSpec([None, *shape], dtype, name=name)

    def value(text, x, y):
        lengths = tf.cast(tf.strings.length(text), tf.float32)
        return {"out": 1000 * lengths + 10 * x + tf.cast(y, tf.float32)}

    class Model(tf.Module):
        @tf.function(
            input_signature=[spec(tf.string, "id"), spec(tf.float32, "x"), spec(tf.int32, "y")]
        )
        def id_x_y(self, id, x, y):
            return value(id, x, y)

        @tf.function(input_signature=[spec(tf.float32, "x"), spec(tf.int32, "y")])
        def x_y(self, x, y):
            return value("", x, y)

        @tf.function(input_signature=[spec(tf.float32, "x")])
        def x(self, x):
            return value("", x, 0)

        @tf.function(input_signature=[spec(tf.float32, "v", 2)])
        def pair(self, v):
            return value("", v[:, 0], v[:, 1])

        @tf.function(input_signature=[spec(tf.float32, "v", 1)])
        def single(self, v):
            return value("", v[:, 0], 0)

        @tf.function(input_signature=[spec(tf.string, "content")])
        def text(self, content):
            return value(content, 0.0, 0)

        @tf.function(input_signature=[spec(tf.string, "examples")])
        def example(self, examples):
            found = tf.io.parse_example(
                examples,
                {
                    "id": tf.io.FixedLenFeature([], tf.string, ""),
                    "x": tf.io.FixedLenFeature([], tf.float32, 0.0),
                    "y": tf.io.FixedLenFeature([], tf.int64, 0),
                },
            )
            return value(found["id"], found["x"], found["y"])

    made = Model()
    path = str(tmp_path_factory.mktemp("model") / "matrix")
    names = ("id_x_y", "x_y", "x", "pair", "single", "text", "example")
    tf.saved_model.save(made, path, signatures={name: getattr(made, name) for name in names})
    held = [load_model(SavedModel(path, name)) for name in names]  # for all of the jobs
    yield path
    del held


def example(row):
    import tensorflow as tf

    features = {
        "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[row["id"].encode()])),
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[row["x"]])),
        "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[row["y"]])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(path, rows):
    lines = [f'"{row["id"]}",{row["x"]},{row["y"]}\n' for row in rows]
    path.write_text("".join(["id,x,y\n", *lines]))


def write_records(path, rows):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(example(row))


def write_gzip_records(path, rows):
    write_records(path, rows)
    path.write_bytes(gzip.compress(path.read_bytes()))


def write_list(path, rows):
    paths = [path.parent / f"content {row['id'][:12]} {len(row['id'])}" for row in rows]
    for each, row in zip(paths, rows, strict=True):
        each.write_text(row["id"])
    path.write_text("".join(f"{each}\n" for each in paths))


def write_parquet(path, rows):
    types = pa.schema([("id", pa.string()), ("x", pa.float64()), ("y", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, types), path, row_group_size=1)


def write_avro(path, rows):
    fields = [("id", "string"), ("x", "double"), ("y", "long")]
    schema = {
        "type": "record",
        "name": "Row",
        "fields": [{"name": name, "type": kind} for name, kind in fields],
    }
    with path.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(schema), rows, sync_interval=1)


WRITERS = {
    "jsonl": write_lines,
    "csv": write_csv,
    "tf-record": write_records,
    "tf-record-gzip": write_gzip_records,
    "file-list": write_list,
    "parquet": write_parquet,
    "avro": write_avro,
}


def rows_of_csv(path):
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    return [dict(zip(header, line, strict=True)) for line in lines]


def rows_of_examples(path):
    import tensorflow as tf

    found = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    features = [tf.train.Example.FromString(record).features.feature for record in found]
    return [{name: first_value(row[name]) for name in row} for row in features]


def first_value(feature):
    (value,) = getattr(feature, feature.WhichOneof("kind")).value
    return value.decode() if isinstance(value, bytes) else value


READERS = {
    "jsonl": lambda path: [json.loads(line) for line in path.read_bytes().splitlines()],
    "csv": rows_of_csv,
    "parquet": lambda path: pq.read_table(path).to_pylist(),
    "tf-record": rows_of_examples,
}


@pytest.fixture
def job(tmp_path, model):
    """A function that makes a job on files that are written for it."""

    def make(form, pieces, config, destination="jsonl"):
        (tmp_path / "in").mkdir()
        for at, piece in enumerate(pieces):
            WRITERS[form](tmp_path / "in" / f"{at}.part", piece)
        return {
            "displayName": "matrix",
            "unmanagedContainerModel": {"artifactUri": model},
            "inputConfig": {
                "instancesFormat": form,
                "gcsSource": {"uris": [str(tmp_path / "in" / "*.part")]},
            },
            "instanceConfig": config,
            "outputConfig": {
                "predictionsFormat": destination,
                "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
            },
        }

    return make


@pytest.fixture
def run(tmp_path):
    """A function that runs a job by the command line: rows of predictions, of errors, files.

    Chunks are of half the first file: borders lie within files and between them.
    """

    def run_job(job, signature, exit_code=0):
        (tmp_path / "job.json").write_text(json.dumps(job))
        size = (tmp_path / "in" / "0.part").stat().st_size
        flags = [f"--signature_name={signature}", f"--chunk_bytes={max(size // 2, 1)}"]
        assert cli.main(["run", str(tmp_path / "job.json"), *flags]) == exit_code
        (directory,) = (tmp_path / "out").iterdir()
        read = READERS[job["outputConfig"]["predictionsFormat"]]
        predictions, errors = (
            [read(path) for path in sorted(directory.glob(f"{kind}_*.*"))]
            for kind in ("predictions", "errors")
        )
        return sum(predictions, []), sum(errors, []), len(predictions)

    return run_job


def texts(rows):
    """Rows as text: 2 is not 2.0 there, and the order of fields shows."""
    return [json.dumps(row) for row in rows]


# What the model makes of the rows, worked out by hand: 1000 for each letter of an id that was
# sent, 10 times the first number, once the second.
ALL = [1017.0, 2007.5, 3605.0]
X_Y = [17.0, 7.5, 605.0]
Y_X = [21.5, 396.75, 6000.5]
X = [15.0, -32.5, 5.0]
LETTERS = [1000.0, 2000.0, 3000.0]

KEYS = [{"key": "a"}, {"key": "bb"}, {"key": "ccc"}]
IDS = [{"id": "a"}, {"id": "bb"}, {"id": "ccc"}]


def instances(*values):
    return [{"instance": value} for value in values]


def together(*columns):
    return [dict(itertools.chain(*(part.items() for part in row))) for row in zip(*columns)]  # noqa: B905


OBJECTS = {
    "none": (
        "id_x_y",
        ALL,
        instances(
            {"id": "a", "x": 1.5, "y": 2},
            {"id": "bb", "x": -3.25, "y": 40},
            {"id": "ccc", "x": 0.5, "y": 600},
        ),
    ),
    "key": ("x_y", X_Y, KEYS),
    "included": (
        "x_y",
        X_Y,
        instances({"y": 2, "x": 1.5}, {"y": 40, "x": -3.25}, {"y": 600, "x": 0.5}),
    ),
    "excluded": (
        "x_y",
        X_Y,
        together(
            instances({"x": 1.5, "y": 2}, {"x": -3.25, "y": 40}, {"x": 0.5, "y": 600}),
            IDS,
        ),
    ),
    "key, included": ("x_y", X_Y, KEYS),
    "key, excluded": ("x", X, KEYS),
}
"""Rows sent as objects: the signature, its predictions, and what stands before them."""

ARRAYS = {
    "none": (
        "id_x_y",
        ALL,
        instances(["a", 1.5, 2], ["bb", -3.25, 40], ["ccc", 0.5, 600]),
    ),
    "key": ("pair", X_Y, KEYS),
    "included": ("pair", Y_X, instances([2, 1.5], [40, -3.25], [600, 0.5])),
    "excluded": (
        "pair",
        X_Y,
        together(instances([1.5, 2], [-3.25, 40], [0.5, 600]), IDS),
    ),
    "key, included": ("pair", Y_X, KEYS),
    "key, excluded": ("single", X, KEYS),
}
"""Rows sent as arrays. Columns have names, which fill several inputs too."""

EXAMPLES = {
    "none": ALL,
    "key": X_Y,
    "included": X_Y,
    "excluded": X_Y,
    "key, included": X_Y,
    "key, excluded": X,
}
"""Records, to a signature that parses them; shown as the Example that was sent."""

EXAMPLE_FEATURES = {"none": "id x y", "included": "x y", "excluded": "x y"}

DECODED = {
    "none": ("id_x_y", ALL),
    "key": ("x_y", X_Y),
    "included": ("x_y", X_Y),
    "excluded": ("x_y", X_Y),
    "key, included": ("x_y", X_Y),
    "key, excluded": ("x", X),
}
"""Records, to signatures whose inputs are the Examples' features."""

FIELDS_OF = {
    "none": (),
    "key": ("keyField",),
    "included": ("includedFields",),
    "excluded": ("excludedFields",),
    "key, included": ("keyField", "includedFields"),
    "key, excluded": ("keyField", "excludedFields"),
}


def refused_fields(form, kind, config):
    """The fields that the job is refused for, and what is said."""
    if form == "jsonl" and kind == "array":
        excluded = {
            "excludedFields": (
                "cannot be combined with instanceType array, because the fields of a 'jsonl' line",
                "list the fields to send in includedFields",
            )
        }
        return {
            "key": {"includedFields": ("required for keyField with instanceType array",)},
            "excluded": excluded,
            "key, excluded": excluded,
        }.get(config, {})
    fields = []
    if kind and form in (*RECORDS, "file-list"):
        fields.append("instanceType")
    if form == "file-list":
        fields += FIELDS_OF[config]
    return {
        field: (f"does not apply to '{form}' instances, only to jsonl", "leave it out")
        for field in fields
    }


def cells(*formats):
    return [
        cell
        for cell in itertools.product(formats, TYPES, CONFIGS)
        if cell[0] in SUPPORTED_INSTANCES_FORMATS
    ]


def is_refused(cell):
    return bool(refused_fields(*cell))


def config_of(kind, config):
    return CONFIGS[config] | ({"instanceType": kind} if kind else {})


def test_no_format_is_left_out():
    in_cloud = {"bigquery"}  # needs a server: tests/cloud
    assert set(SUPPORTED_INSTANCES_FORMATS) == {*FORMATS, *in_cloud}
    assert set(SUPPORTED_PREDICTIONS_FORMATS) == {*READERS, *in_cloud}


@pytest.mark.parametrize(("form", "kind", "config"), list(filter(is_refused, cells(*FORMATS))))
def test_a_cell_that_the_service_rules_out_is_refused_before_it_begins(
    form, kind, config, job, tmp_path, capsys
):
    refused = job(form, [ROWS], config_of(kind, config))
    (tmp_path / "job.json").write_text(json.dumps(refused))
    assert cli.main(["run", str(tmp_path / "job.json")]) == 2
    assert not (tmp_path / "out").exists()
    said = [line.strip() for line in capsys.readouterr().err.splitlines()[1:]]
    expected = refused_fields(form, kind, config)
    assert [line.split(":")[0] for line in said] == [f"instanceConfig.{name}" for name in expected]
    for line, words in zip(said, expected.values(), strict=True):
        assert all(each in line for each in words)
        assert form in line


def named_cells():
    for form, kind, config in cells("jsonl", *TABLES):
        is_rejected = form == "jsonl" and kind == "array" and config == "none"
        if not is_rejected and not is_refused((form, kind, config)):
            yield form, kind, config


@pytest.mark.parametrize(("form", "kind", "config"), sliced(named_cells()))
def test_rows_with_names(form, kind, config, job, run):
    as_arrays = kind == "array" or (kind is None and form != "jsonl")
    signature, outputs, heads = (ARRAYS if as_arrays else OBJECTS)[config]
    rows, errors, files = run(job(form, [ROWS[:2], ROWS[2:]], config_of(kind, config)), signature)
    expected = [{**head, "prediction": output} for head, output in zip(heads, outputs, strict=True)]
    assert texts(rows) == texts(expected)
    assert errors == []
    assert files > 1


@pytest.mark.parametrize(
    ("form", "kind", "config"),
    sliced([cell for cell in cells(*RECORDS) if not is_refused(cell)], together=1),
)
def test_records_to_a_signature_that_parses_them(form, kind, config, job, run):
    import tensorflow as tf

    rows, errors, files = run(job(form, [ROWS[:2], ROWS[2:]], config_of(kind, config)), "example")
    assert [row.pop("prediction") for row in rows] == EXAMPLES[config]
    if config.startswith("key"):
        assert rows == KEYS
    else:
        shown = [row.pop("instance") for row in rows]
        assert rows == (IDS if config == "excluded" else [{}, {}, {}])
        names = EXAMPLE_FEATURES[config].split()
        for row, instance in zip(ROWS, shown, strict=True):
            sent = tf.train.Example.FromString(base64.b64decode(instance["b64"]))
            whole = tf.train.Example.FromString(example(row))
            assert dict(sent.features.feature) == {
                name: whole.features.feature[name] for name in names
            }
    assert errors == []
    assert files > 1


@pytest.mark.tfx_bsl
@pytest.mark.parametrize("config", CONFIGS)
def test_records_to_inputs_that_are_features(config, job, run):
    signature, outputs = DECODED[config]
    rows, errors, _ = run(job("tf-record", [ROWS[:2], ROWS[2:]], CONFIGS[config]), signature)
    assert [row["prediction"] for row in rows] == outputs
    if config.startswith("key"):
        assert [{"key": row["key"]} for row in rows] == KEYS
    assert errors == []


def test_listed_files(job, run, tmp_path):
    rows, errors, files = run(job("file-list", [ROWS[:2], ROWS[2:]], {}), "text")
    paths = [
        str(tmp_path / "in" / name) for name in ("content a 1", "content bb 2", "content ccc 3")
    ]
    assert rows == [
        {"instance": path, "prediction": output}
        for path, output in zip(paths, LETTERS, strict=True)
    ]
    assert errors == []
    assert files > 1


UNNAMED = [[1.5, 2], [-3.25, 40], [0.5, 600]]


@pytest.mark.parametrize("kind", [None, "array"])
def test_lines_that_are_arrays_are_sent_as_they_are(kind, job, run):
    rows, errors, _ = run(job("jsonl", [UNNAMED[:2], UNNAMED[2:]], config_of(kind, "none")), "pair")
    assert texts(rows) == texts(
        {"instance": line, "prediction": output} for line, output in zip(UNNAMED, X_Y, strict=True)
    )
    assert errors == []


@pytest.mark.parametrize(
    ("lines", "kind", "config", "words"),
    [
        (ROWS, "array", "none", ("instanceType is array", "object", "includedFields")),
        (UNNAMED, "object", "none", ("instanceType is object", "found an array")),
        (UNNAMED, None, "key", ("keyField needs rows that are objects", "found an array")),
        (UNNAMED, None, "included", ("includedFields needs rows that are objects",)),
        (UNNAMED, None, "excluded", ("excludedFields needs rows that are objects",)),
        (UNNAMED, "object", "key", ("keyField needs rows that are objects",)),
        (UNNAMED, "object", "included", ("includedFields needs rows that are objects",)),
        (UNNAMED, "object", "excluded", ("excludedFields needs rows that are objects",)),
        (UNNAMED, "array", "included", ("includedFields needs rows that are objects",)),
        (UNNAMED, "array", "key, included", ("keyField needs rows that are objects",)),
    ],
)
def test_lines_of_the_wrong_type_are_errors_in_their_order(lines, kind, config, words, job, run):
    made = job("jsonl", [lines[:2], lines[2:]], config_of(kind, config))
    rows, errors, _ = run(made, "pair", exit_code=1)
    assert rows == []
    assert [error["instance"] for error in errors] == lines
    assert [error["error"]["code"] for error in errors] == [3, 3, 3]
    for error in errors:
        assert all(each in error["error"]["message"] for each in words)
        assert ".part, byte " in error["error"]["message"]


EXTENSIONS = {
    "csv": ("instanceType", "includedFields", "excludedFields"),
    "parquet": ("instanceType", "keyField", "includedFields", "excludedFields"),
    "avro": ("instanceType", "keyField", "includedFields", "excludedFields"),
}
"""What the service has not: instanceType "does not apply to csv", and for includedFields and
excludedFields "the input must be JSONL with objects at each line, BigQuery or TfRecord"."""


@pytest.mark.parametrize(
    ("form", "kind", "config"), [cell for cell in cells(*FORMATS) if not is_refused(cell)]
)
def test_extensions_of_ours_are_known(form, kind, config, job):
    made = job(form, [ROWS], config_of(kind, config))
    expected = ["inputConfig.instancesFormat"] if form in ("parquet", "avro") else []
    set_here = config_of(kind, config)
    expected += [f"instanceConfig.{name}" for name in EXTENSIONS.get(form, ()) if name in set_here]
    assert instance_extensions(read_job(made)) == expected


MANY = [{"id": "k" * (at + 1), "x": float(at), "y": at} for at in range(30)]

# The numbers are there with the id or without it.
WITH_ID = [1000.0 * (at + 1) + 11 * at for at in range(30)]
WITHOUT_ID = [11.0 * at for at in range(30)]
LISTED = [1000.0 * (at + 1) for at in range(30)]


def model_call(source, config):
    """The signature for a source, and its predictions."""
    if source == "file-list":
        return "text", LISTED
    outputs = WITH_ID if config == "none" else WITHOUT_ID
    if source in RECORDS:
        return "example", outputs
    return ("id_x_y" if config == "none" else "x_y"), outputs


def shown_names(source, destination, config):
    """What a record has beside the prediction."""
    if config == "key":
        return {"key"}
    attached = {"id"} if config == "excluded" else set()
    is_one_value = destination == "jsonl" or source == "file-list"
    if is_one_value or (source in RECORDS and destination != "tf-record"):
        return {"instance"} | attached
    return {"id", "x", "y"}


def id_shown(row):
    """The id in what stands for the instance: in columns, in an Example, in a listed file."""
    import tensorflow as tf

    if "id" in row:
        return row["id"]
    instance = row["instance"]
    if isinstance(instance, str) and instance.startswith("{"):
        instance = json.loads(instance)
    if isinstance(instance, str):
        return pathlib.Path(instance).read_text()
    if isinstance(instance, list):
        return instance[0]
    if isinstance(instance, dict) and "id" in instance:
        return instance["id"]
    record = base64.b64decode(instance["b64"]) if isinstance(instance, dict) else instance
    features = tf.train.Example.FromString(record).features
    return features.feature["id"].bytes_list.value[0].decode()


def pairs():
    for source, destination in itertools.product(FORMATS, READERS):
        yield source, destination, "none"
        if source != "file-list":
            yield source, destination, "key"
        # With jsonl the cells above show it.
        if source != "file-list" and destination != "jsonl":
            yield source, destination, "excluded"


@pytest.mark.parametrize(("source", "destination", "config"), sliced(pairs()))
def test_outputs_of_every_pair_are_in_the_order_of_the_inputs(
    source, destination, config, job, run
):
    pieces = [MANY[:10], MANY[10:11], MANY[11:]]
    signature, outputs = model_call(source, config)
    made = job(source, pieces, CONFIGS[config], destination)
    rows, errors, files = run(made, signature)
    names = shown_names(source, destination, config) | {"prediction"}
    assert [set(row) for row in rows] == [names] * 30
    assert [float(row["prediction"]) for row in rows] == outputs
    shown = [row["key"] if config == "key" else id_shown(row) for row in rows]
    assert shown == [row["id"] for row in MANY]
    assert errors == []
    assert files > 2
