"""One job for each format of files, on inputs of several files, with rows that fail."""

import bz2
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from helpers.processes import ended, finish

ROOT = Path(__file__).resolve().parents[2]

FILES, ROWS = 3, 40
"""The number of input files of each format, and of rows in each."""

FLAGS = ("--chunk_bytes=600",)


def is_bad(row):
    """Return whether the model has no prediction for a row."""
    return row % 13 == 4


def rows_of(file):
    """Return the rows of a file; rows without x fail."""
    numbers = range(file * ROWS, (file + 1) * ROWS)
    return [
        {"id": f"row-{n}", "x": None if is_bad(n) else n / 4, "y": -n if n % 2 else n}
        for n in numbers
    ]


def save_model(path):
    """Save a SavedModel with outputs of several types, for columns, records and strings."""
    import tensorflow as tf

    def values(x, y):
        return {
            "sum": x + tf.cast(y, tf.float32),
            "pair": tf.stack([x, 2 * x], axis=1),
            "text": tf.strings.as_string(y),
        }

    class Model(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="x"),
                tf.TensorSpec([None], tf.int32, name="y"),
            ]
        )
        def numbers(self, x, y):
            return values(x, y)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def example(self, examples):
            found = tf.io.parse_example(
                examples,
                {
                    "x": tf.io.FixedLenFeature([], tf.float32),
                    "y": tf.io.FixedLenFeature([], tf.int64),
                },
            )
            return values(found["x"], tf.cast(found["y"], tf.int32))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="content")])
        def length(self, content):
            return {"n": tf.strings.length(content)}

    model = Model()
    names = ("numbers", "example", "length")
    signatures = {name: getattr(model, name) for name in names}
    tf.saved_model.save(model, str(path), signatures=signatures)


def _lines(path, rows):
    lines = [json.dumps({n: v for n, v in row.items() if v is not None}) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))


def _csv(path, rows):
    lines = [f"{row['id']},{'' if row['x'] is None else row['x']},{row['y']}" for row in rows]
    path.write_text("".join(f"{line}\n" for line in ("id,x,y", *lines)))


def _parquet(path, rows):
    types = pa.schema([("id", pa.string()), ("x", pa.float64()), ("y", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, types), path, row_group_size=7)


def _avro(path, rows):
    kinds = {"id": "string", "x": ["null", "double"], "y": "long"}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})
    with path.open("wb") as file:
        fastavro.writer(file, schema, rows, sync_interval=100)


def _records(path, rows):
    import tensorflow as tf

    def example(row):
        features = {
            "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[row["id"].encode()])),
            "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[row["y"]])),
        }
        if row["x"] is not None:
            features["x"] = tf.train.Feature(float_list=tf.train.FloatList(value=[row["x"]]))
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(example(row))


def _list(path, rows):
    listed = [path.with_name(row["id"]) for row in rows]
    for each, row in zip(listed, rows, strict=True):
        if row["x"] is not None:  # a listed file that does not exist fails
            each.write_text("x" * row["y"])
    path.write_text("".join(f"{each}\n" for each in listed))


def _compressed(write, compress):
    def write_and_compress(path, rows):
        write(path, rows)
        path.write_bytes(compress(path.read_bytes()))

    return write_and_compress


class Format(NamedTuple):
    """A format of input, and the job on it.

    Attributes:
        writers: functions by file extension; the files use them in turn.
        predictions: the format of the output.
        signature: the signature that the job calls.
        config: the instanceConfig.
        service: "" for a job of Vertex AI, or the dataFormat of a job of AI Platform.
        flags: the flags of the command line.
    """

    writers: dict
    predictions: str
    signature: str
    config: dict = {}  # noqa: RUF012 - a NamedTuple's default, never changed
    service: str = ""
    flags: tuple = ()


_gzipped = _compressed(_records, gzip.compress)
_text = {".jsonl": _lines, ".jsonl.gz": _compressed(_lines, gzip.compress)}

FORMATS = {
    "jsonl": Format(_text, "csv", "numbers", {"keyField": "id"}),
    "csv": Format(
        {".csv": _csv, ".csv.bz2": _compressed(_csv, bz2.compress)},
        "jsonl",
        "numbers",
        {"excludedFields": ["id"]},
    ),
    "parquet": Format({".parquet": _parquet}, "tf-record", "numbers", {"keyField": "id"}),
    "avro": Format({".avro": _avro}, "parquet", "numbers", {"excludedFields": ["id"]}),
    "tf-record": Format({".tfrecord": _records}, "jsonl", "example"),
    "tf-record-gzip": Format(
        {".tfrecord.gz": _gzipped}, "tf-record", "example", {"keyField": "id"}
    ),
    "file-list": Format({".txt": _list}, "parquet", "length"),
    "JSON": Format(_text, "JSON", "numbers", service="JSON", flags=("--key=field:id",)),
    "TF_RECORD": Format(
        {".tfrecord": _records}, "CSV", "example", service="TF_RECORD", flags=("--key=location",)
    ),
}


class Given(NamedTuple):
    """The inputs of all jobs: the model, and a directory of files for each format."""

    model: Path
    inputs: Path


def make_given(directory):
    """Write the model and all inputs."""
    given = Given(directory / "model", directory / "in")
    save_model(given.model)
    for name, form in FORMATS.items():
        (given.inputs / name).mkdir(parents=True)
        endings = list(form.writers)
        for file in range(FILES):
            ending = endings[file % len(endings)]
            form.writers[ending](given.inputs / name / f"{file}{ending}", rows_of(file))
    return given


def write_job(name, given, directory):
    """Write the job for a format, and return its path; its results will be next to it, in `out`."""
    form = FORMATS[name]
    files = [path for path in (given.inputs / name).iterdir() if path.name[0].isdigit()]
    inputs, out = sorted(map(str, files)), str(directory / "out")
    if form.service:
        job = {
            "jobId": f"engines_{name}",
            "predictionInput": {
                "dataFormat": form.service,
                "outputDataFormat": form.predictions,
                "inputPaths": inputs,
                "outputPath": out,
                "uri": str(given.model),
                "signatureName": form.signature,
            },
        }
    else:
        job = {
            "displayName": f"engines {name}",
            "unmanagedContainerModel": {"artifactUri": str(given.model)},
            "inputConfig": {"instancesFormat": name, "gcsSource": {"uris": inputs}},
            "instanceConfig": form.config,
            "outputConfig": {
                "predictionsFormat": form.predictions,
                "gcsDestination": {"outputUriPrefix": out},
            },
        }
    directory.mkdir(parents=True)
    path = directory / "job.json"
    path.write_text(json.dumps(job))
    return path


def flags_of(name):
    """Return the flags of the command line for the job for a format."""
    form = FORMATS[name]
    signature = () if form.service else (f"--signature_name={form.signature}",)
    return (*FLAGS, *signature, *form.flags)


def command_line(path, *flags):
    """Return the command that runs a job file."""
    return [sys.executable, "-m", "beam_batch_predict", "run", str(path), *flags]


def run(path, *flags, seconds=180):
    """Run a job file in a separate process to its end, and return the finished process."""
    shell = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    process = subprocess.Popen(
        command_line(path, *flags),
        env={**shell, "PYTHONPATH": str(ROOT)},
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with ended(process):
        return finish(process, seconds)
