"""Objects with `Content-Encoding: gzip`, as `gsutil cp -z` makes them."""

import gzip
import json
import random

import pytest
from test_cloud_jobs import avro, csv, jsonl, parquet, rows_of, tf_record

from beam_batch_predict import cli, files
from beam_batch_predict.jobs import read_job


@pytest.fixture
def put_encoded(storage_client, bucket):
    """A function that makes objects with gzip's encoding, of their contents by name."""

    def make(objects, compress=gzip.compress):
        for name, content in objects.items():
            blob = storage_client.bucket(bucket).blob(name)
            blob.content_encoding = "gzip"
            blob.upload_from_string(compress(content))

    return make


@pytest.mark.parametrize(
    "source",
    [
        *("jsonl", "csv", "avro"),
        *(pytest.param(f"tf-record{end}", marks=pytest.mark.tfx_bsl) for end in ("", "-gzip")),
    ],
)
def test_every_format_that_is_read_from_its_beginning_is_decompressed(
    put_encoded, put, job, run, source, tmp_path
):
    make = {"jsonl": jsonl, "csv": csv, "avro": avro}.get(source)
    contents = [make(range(20)) if make else tf_record(range(20), tmp_path)]
    contents.append(make(range(20, 30)) if make else tf_record(range(20, 30), tmp_path))
    put_encoded({"in/a.x": contents[0], "in/b.x": contents[1]})
    record, published = run(job(source), "--chunk_bytes=40", "--readers_per_file=3")
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert [row["prediction"] for row in rows_of(published)] == [2.0 * row for row in range(30)]
    assert len(published) == 2
    assert "partialFailures" not in record


def test_a_parquet_file_is_refused_with_what_to_do(put_encoded, put, job, run):
    put_encoded({"in/a.x": parquet(range(5))})
    put({"in/b.x": parquet(range(5))})
    record, published = run(job("parquet"))
    assert len(rows_of(published)) == 5
    [failure] = record["partialFailures"]
    assert (
        "in/a.x: cannot be read: its content, stored with Content-Encoding gzip, is read from"
        in (failure["message"])
    )


def test_a_name_that_ends_in_gz_is_decompressed_once(put_encoded, job, run):
    put_encoded({"in/a.x.gz": jsonl(range(5)), "in/b.x.gzip": jsonl(range(5, 9))})
    names = ["in/a.x.gz"]
    _, published = run(job(uris=names))
    assert [row["prediction"] for row in rows_of(published)] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_list_and_the_files_that_it_names_are_decompressed(put_encoded, put, job, run, bucket):
    members = {f"in/m{at}.txt": b"x" * at for at in range(20)}
    put_encoded({name: members[name] for name in list(members)[:10]})
    put({name: members[name] for name in list(members)[10:]})
    put_encoded({"list.x": "\n".join(f"gs://{bucket}/{name}" for name in members).encode()})
    _, published = run(job("file-list", ["list.x"]), "--signature_name=length")
    assert [row["prediction"] for row in rows_of(published)] == list(range(20))


@pytest.mark.parametrize("form", ["JSON", "TEXT"])
def test_inputs_of_ai_platform_are_decompressed(put_encoded, model, bucket, form, cloud_flags):
    put_encoded({"in/a": jsonl(range(5))})
    body = {
        "jobId": "encoded",
        "predictionInput": {
            "dataFormat": form,
            "inputPaths": [f"gs://{bucket}/in/*"],
            "outputPath": f"gs://{bucket}/out",
            "region": "us-central1",
            "uri": f"gs://{bucket}/{model('m')}",
        },
    }
    put_encoded({"job.json": json.dumps(body).encode()})
    assert cli.main(["run", f"gs://{bucket}/job.json", *cloud_flags]) == 0
    found = {name: files.read_file(name) for name in _uris(bucket, "out/prediction.results*")}
    assert b"".join(found.values()).count(b"\n") == 5
    assert read_job(files.read_file(f"gs://{bucket}/job.json")).to_spec().source.uris


def _uris(bucket, pattern):
    return [file.uri for file in files.match(f"gs://{bucket}/{pattern}")]


def test_content_is_read_from_anywhere(put_encoded, bucket):
    content = random.Random(0).randbytes(300_000) + b"\n" * 3_000_000

    def members(whole):
        return gzip.compress(whole[:1000]) + b"\0" * 5 + gzip.compress(whole[1000:])

    put_encoded({"x": content}, members)
    uri = f"gs://{bucket}/x"
    [found] = files.match(uri)
    assert found.is_gzip
    assert found.size == len(members(content))
    with files.open_file(uri, found) as file:
        assert b"".join(iter(lambda: file.read(70_001), b"")) == content
        assert file.read(1) == b""
        assert file.seek(5) == 5
        assert file.read(2000) == content[5:2005]
        assert file.seek(10, 1) == 2015
        assert file.read() == content[2015:]
    assert files.read_file(uri) == content
    assert files.digest(uri)[0] == len(content)


def test_content_before_a_fault_is_read_and_the_fault_is_named(put_encoded, bucket):
    content = random.Random(0).randbytes(300_000)
    put_encoded({"cut": content}, lambda whole: gzip.compress(whole)[:200_000])
    put_encoded({"plain": b"no gzip"}, bytes)
    with files.open_file(f"gs://{bucket}/cut") as file:
        read = [file.read(10_000) for _ in range(19)]
        assert b"".join(read) == content[:190_000]
        with pytest.raises(OSError, match="Content-Encoding gzip, is cut short; upload") as raised:
            list(iter(lambda: file.read(10_000), b""))
    assert raised.value.filename == f"gs://{bucket}/cut"
    with (
        files.open_file(f"gs://{bucket}/plain") as file,
        pytest.raises(OSError, match="is damaged, or not compressed with gzip"),
    ):
        file.read(1)


def test_the_plan_says_how_an_object_is_read(put, put_encoded, storage_client, bucket):
    put({"x": b"1\n2\n"})
    [found] = files.match(f"gs://{bucket}/x")
    blob = storage_client.bucket(bucket).get_blob("x")
    blob.content_encoding = "gzip"
    blob.patch()
    with files.open_file(found.uri, found) as file:
        assert file.read() == b"1\n2\n"


def test_a_run_over_compressed_content_is_resumed(put_encoded, job, run, breaking_off):
    put_encoded({f"in/{at}.x": jsonl(range(at * 10, at * 10 + 10)) for at in range(3)})
    description = job()
    with breaking_off(2):
        run(description, "--chunk_bytes=10", exit_code=1)
    record, published = run(description, "--chunk_bytes=10", "--resume")
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert [row["prediction"] for row in rows_of(published)] == [2.0 * row for row in range(30)]
