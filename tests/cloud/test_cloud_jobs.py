"""Jobs of which everything is on Cloud Storage: inputs, model, job file, outputs and record."""

import gzip
import io
import json
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_batch_predict import BatchPredict, cli
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.jobs import read_job

ROWS = 30
NAMES = ["in/a b.x", "in/é#1.x", "in/deep/%20?.x"]
"""Of input files, each with a third of the rows, in the order in which they are listed."""


def jsonl(rows):
    return b"".join(b'{"x": %d}\n' % row for row in rows)


def csv(rows):
    return b"x\n" + b"".join(b"%d\n" % row for row in rows)


def records(rows):
    import tensorflow as tf

    for row in rows:
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=[row]))
        features = tf.train.Features(feature={"x": feature})
        yield tf.train.Example(features=features).SerializeToString()


def tf_record(rows, tmp_path, compression=""):
    import tensorflow as tf

    path = str(tmp_path / "records")
    with tf.io.TFRecordWriter(path, compression) as writer:
        for record in records(rows):
            writer.write(record)
    return Path(path).read_bytes()


def parquet(rows):
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": pa.array(map(float, rows))}), sink, row_group_size=4)
    return sink.getvalue()


def avro(rows):
    sink = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "x", "type": "float"}]}
    fastavro.writer(sink, schema, ({"x": float(row)} for row in rows), sync_interval=32)
    return sink.getvalue()


def rows_of(objects, kind="predictions"):
    return [
        json.loads(line)
        for name in sorted(objects)
        if name.startswith(kind)
        for line in objects[name].splitlines()
    ]


FORMATS = {
    "jsonl": jsonl,
    "csv": csv,
    "tf-record": tf_record,
    "tf-record-gzip": tf_record,
    "parquet": parquet,
    "avro": avro,
}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(name, marks=[pytest.mark.tfx_bsl] if name.startswith("tf") else [])
        for name in FORMATS
    ],
)
def test_every_format_is_read_from_a_bucket(put, job, run, source, tmp_path, bucket):
    more = {"tf-record": (tmp_path,), "tf-record-gzip": (tmp_path, "GZIP")}.get(source, ())
    for at, name in enumerate(NAMES):
        put({name: FORMATS[source](range(at * 10, at * 10 + 10), *more)})
    record, published = run(job(source), "--chunk_bytes=40")
    predicted = rows_of(published)
    assert sorted(row["prediction"] for row in predicted) == [2.0 * row for row in range(ROWS)]
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["successfulCount"] == str(ROWS)
    directory = record["outputInfo"]["gcsOutputDirectory"]
    assert directory.startswith(f"gs://{bucket}/out/prediction-a_model_1_-")


@pytest.mark.slow
def test_two_workers_give_what_one_gives_and_leave_nothing_else(
    put, job, run, contents, two_workers, storage_client, bucket
):
    put({name: jsonl(range(at * 10, at * 10 + 10)) + b"oops\n" for at, name in enumerate(NAMES)})
    runs = []
    for flags in ([], two_workers):
        record, published = run(job(), "--chunk_bytes=40", *flags)
        assert record["completionStats"]["failedCount"] == "3"
        runs.append(published)
        for blob in list(storage_client.list_blobs(bucket, prefix="out/")):
            blob.delete()
    assert runs[0] == runs[1]
    assert len(rows_of(runs[0], "errors")) == 3
    assert all(name.startswith(("predictions_", "errors_")) for name in runs[0])
    assert contents("tmp/") == {}


def test_a_list_of_objects_is_read(put, job, run, bucket):
    members = [f"in/m é{at}#%?.txt" for at in range(40)]
    put({name: b"x" * at for at, name in enumerate(members)})
    lines = [f"gs://{bucket}/{name}" for name in [*members, "in/missing.txt"]]
    put({"list.x": "\n".join(lines)})
    record, published = run(job("file-list", ["list.x"]), "--signature_name=length")
    assert [row["prediction"] for row in rows_of(published)] == list(range(40))
    [missing] = rows_of(published, "errors")
    assert "missing.txt" in json.dumps(missing)
    assert missing["error"]["code"] == 5


def test_csv_is_written_to_a_bucket(put, job, run):
    put({"in/a.x": jsonl(range(5)), "in/b.x": b"oops\n"})
    _, published = run(job(output="csv"))
    predictions = b"".join(published[name] for name in published if name.startswith("predictions"))
    assert predictions.count(b"\n") >= 6
    assert b"8.0" in predictions


def test_a_pipeline_of_someone_elses_writes_to_a_bucket(put, job, pipeline, cloud_flags, contents):
    put({"in/a.x": gzip.compress(jsonl(range(5))), "in/b.x.gz": gzip.compress(jsonl(range(5)))})
    spec = read_job(job(uris=["in/b.x.gz"])).to_spec()
    with pipeline(*cloud_flags) as p:
        _ = p | BatchPredict(spec)
    names = [name.rpartition("/")[2] for name in contents("out/")]
    assert sorted(names) == ["job.json", "manifest.json", "predictions_0001.jsonl"]


def test_a_model_of_many_files_is_copied(put, job, run, model, faults):
    put({"in/a.x": jsonl(range(3))})
    description = job()
    model(extra=range(100))
    _, published = run(description)
    assert len(rows_of(published)) == 3
    assert faults.count("GET /download.*assets.extra") == 100


@pytest.mark.parametrize(
    ("pattern", "status", "words"),
    [
        (r"o/models.*saved_model\.pb", 403, "permission denied"),
        (r"download.*variables", 403, "permission denied"),
        (r"download.*variables", 404, "no such object"),
        (r"o\?.*prefix=models", 403, "permission denied"),
    ],
)
def test_a_model_that_cannot_be_copied_whole_is_not_used(
    put, job, run, faults, pattern, status, words, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    put({"in/a.x": jsonl(range(3))})
    faults.fail(pattern, status)
    record, published = run(job(), exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert words in record["error"]["message"]
    assert "models/a model #[1]" in record["error"]["message"]
    assert not published
    assert not list(tmp_path.glob("beam-batch-predict-model-*"))


def test_a_missing_model_is_reported(put, job, run, bucket):
    put({"in/a.x": jsonl(range(3))})
    model = {"artifactUri": f"gs://{bucket}/models/none"}
    record, _ = run(job(unmanagedContainerModel=model), exit_code=1)
    assert "there is no SavedModel at" in record["error"]["message"]


def test_a_model_does_not_write_outside_of_its_copy(put, job, run, model):
    put({"in/a.x": jsonl(range(3))})
    description = job()
    model(extra=["../../../outside"])
    record, _ = run(description, exit_code=1)
    assert "whose name leads out of its directory" in record["error"]["message"]


def test_no_copy_of_a_model_is_left(put, job, run, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    put({"in/a.x": jsonl(range(3))})
    run(job())
    assert not list(tmp_path.glob("beam-batch-predict-model-*"))


def test_many_parts_are_published_in_order_and_each_is_copied_once(put, job, run, faults):
    put({"in/a.x": b"".join(b'{"x": %04d}\n' % row for row in range(1000, 1120))})
    _, published = run(job(), "--chunk_bytes=12")
    predicted = [row["prediction"] for row in rows_of(published)]
    assert predicted == [2.0 * row for row in range(1000, 1120)]
    assert len(published) == 120
    assert faults.count("copyTo.*predictions_") == 120


def test_an_input_that_may_not_be_read_is_a_partial_failure(put, job, run, faults):
    put({"in/a.x": jsonl(range(3)), "in/b.x": jsonl(range(3))})
    faults.fail("GET /storage/v1/b/[^/]*/o/in%2Fa.x", 403)
    record, published = run(job())
    assert len(rows_of(published)) == 3
    [failure] = record["partialFailures"]
    assert failure["code"] == 7
    assert "in/a.x" in failure["message"]


def test_a_publication_that_fails_keeps_the_parts_and_says_why(put, job, run, faults):
    put({"in/a.x": jsonl(range(10))})
    faults.fail(r"copyTo.*predictions_0005", 403)
    record, left = run(job(), "--chunk_bytes=12", exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert "403" in record["error"]["message"]
    assert "predictions_0005" in record["error"]["message"]
    parts = {name: left[name] for name in left if name.endswith(".predictions")}
    assert len(rows_of(left) + rows_of(parts, "chunk-")) == 10, left
    assert parts


def test_an_output_that_may_not_be_written_is_reported_before_the_run(
    job, put, bucket, cloud_flags, faults, capfd
):
    put({"in/a.x": jsonl(range(10)), "job.json": json.dumps(job())})
    faults.fail("(GET|POST) .*prefix=out|POST /upload", 403)
    assert cli.main(["run", f"gs://{bucket}/job.json", *cloud_flags]) == 1
    shown = capfd.readouterr().err
    assert "permission denied" in shown
    assert f"gs://{bucket}/out" in shown


def test_a_run_in_a_bucket_that_broke_off_is_resumed(
    put, job, run, contents, breaking_off, storage_client, bucket
):
    put({name: jsonl(range(at * 10, at * 10 + 10)) + b"oops\n" for at, name in enumerate(NAMES)})
    description = job()
    _, whole = run(description, "--chunk_bytes=40")
    for blob in list(storage_client.list_blobs(bucket, prefix="out/")):
        blob.delete()
    with breaking_off(2):
        record, left = run(description, "--chunk_bytes=40", exit_code=1)
    assert (record["state"], rows_of(left)) == ("JOB_STATE_FAILED", [])
    again, published = run(description, "--chunk_bytes=40", "--resume")
    assert again["state"] == "JOB_STATE_SUCCEEDED"
    assert again["outputInfo"] == record["outputInfo"]
    assert rows_of(published) == rows_of(whole)
    assert {**published, "manifest.json": b""} == {**whole, "manifest.json": b""}
    assert [name for name in contents("out/") if "_parts" in name] == []
    directory = record["outputInfo"]["gcsOutputDirectory"]
    assert verify(directory).wrong == ()
    put({f"{directory.partition(bucket)[2][1:]}/predictions_0001.jsonl": b"{}\n"})
    assert "predictions_0001.jsonl has 3 bytes" in verify(directory).wrong[0]


def test_an_input_in_a_bucket_that_was_written_anew_is_named(
    put, job, run, breaking_off, bucket, capfd
):
    put({"in/a.x": jsonl(range(20))})
    description = job()
    with breaking_off(1):
        run(description, "--chunk_bytes=40", exit_code=1)
    put({"in/a.x": jsonl(range(20)) + b"1\n"})
    run(description, "--chunk_bytes=40", "--resume", exit_code=2)
    assert f"input gs://{bucket}/in/a.x was changed" in capfd.readouterr().err
