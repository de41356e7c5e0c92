"""Storage that fails, stalls or lies: whole in the end, or an error that says where."""

import gc
import hashlib
import json
import random
import re

import pytest

from beam_batch_predict import files
from beam_batch_predict.files import StorageUnavailable, gcs

OPERATIONS = {
    "list": r"GET /storage/v1/b/[^/]+/o\?",
    "look": r"GET /storage/v1/b/[^/]+/o/",
    "read": "GET /download",
    "write": "POST /upload",
    "batch": "POST /batch",
    "copy": "copyTo",
    "delete": "DELETE",
}


def refuse(faults, pattern):
    for status in (429, 500, 503, 408):
        faults.fail(pattern, status, times=1)


def break_off(faults, pattern):
    faults.reset(pattern)
    faults.cut(pattern)
    faults.hang(pattern)


def lose(faults, pattern):
    faults.lose(pattern, times=2)


ROWS = 40


def jsonl(rows):
    return b"".join(b'{"x": %d}\n' % row for row in rows)


@pytest.fixture
def inputs(put):
    """Four objects of ten rows, which become eight chunks; the last row is an error."""
    for at in range(4):
        put({f"in/{at}.x": jsonl(range(at * 10, at * 10 + 10)) + b"oops\n" * (at == 3)})


FLAGS = ["--chunk_bytes=50"]


def rows_of(objects, kind):
    names = sorted(name for name in objects if name.startswith(kind))
    return [json.loads(line) for name in names for line in objects[name].splitlines()]


def check_whole(record, published):
    """Whether all is published as it would be without faults, and nothing else is there."""
    assert record["completionStats"]["successfulCount"] == str(ROWS)
    assert record["completionStats"]["failedCount"] == "1"
    failures = record.get("partialFailures", [])
    assert not any("cannot be read" in failure["message"] for failure in failures)
    predicted = rows_of(published, "predictions")
    assert [row["instance"]["x"] for row in predicted] == list(range(ROWS))
    assert [row["prediction"] for row in predicted] == [2.0 * row for row in range(ROWS)]
    assert [row["instance"] for row in rows_of(published, "errors")] == ["oops"]
    assert not [name for name in published if name.startswith("chunk-")]


@pytest.mark.parametrize("fault", [refuse, break_off, lose])
def test_a_job_rides_over_faults_of_every_operation(inputs, job, run, faults, impatient, fault):
    description = job()
    for pattern in OPERATIONS.values():
        fault(faults, pattern)
    check_whole(*run(description, *FLAGS))
    assert all(faults.count(pattern) for pattern in OPERATIONS.values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_gets_on_with_storage_that_takes_its_time_for_each_request(inputs, job, run, faults):
    description = job()
    faults.delay("", 0.5)
    check_whole(*run(description))


@pytest.mark.parametrize(
    ("pattern", "fault", "words"),
    [
        (r"GET /download.*in%2F2", "fail", r"in/2\.x: storage fails with HTTP 503"),
        (r"GET /download.*in%2F2", "reset", r"in/2\.x: storage does not answer.*[Cc]onnection"),
        pytest.param(
            *(r"GET /download.*in%2F2", "hang", r"in/2\.x: storage does not answer.*timed out"),
            marks=pytest.mark.slow,
        ),
        (r"POST /upload.*_parts", "fail", r"_parts/.*storage fails with HTTP 503"),
        (r"copyTo.*predictions_0003", "fail", r"predictions_0003.*storage fails with HTTP 503"),
        pytest.param(
            *(r"POST /batch", "hang", r"chunk-.*storage does not answer.*timed out"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_job_that_storage_stops_at_its_end_names_the_uri_and_repeats_no_row(
    inputs, job, run, faults, impatient, pattern, fault, words
):
    description = job()
    more = {"status": 503} if fault == "fail" else {}
    getattr(faults, fault)(pattern, times=10**9, **more)
    record, left = run(description, *FLAGS, exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert re.search(words, record["error"]["message"]), record["error"]
    tables = {name: left[name] for name in left if re.search("predictions|errors", name)}
    found = [json.dumps(row["instance"]) for row in rows_of(tables, "")]
    assert len(found) == len(set(found))
    assert not any(name.startswith("predictions") for name in left) or len(found) == ROWS + 1


CHUNK = 256 * 1024


@pytest.fixture
def small_chunks(monkeypatch):
    """Uploads in pieces of 256 KiB, where there is more than one."""
    monkeypatch.setattr(gcs, "UPLOAD_PIECE_BYTES", CHUNK)
    monkeypatch.setattr("google.cloud.storage.blob._MAX_MULTIPART_SIZE", CHUNK)


def upload(uri, content, piece=100_000):
    file = files.NewFile(uri)
    for start in range(0, len(content), piece):
        assert file.write(content[start : start + piece]) == len(content[start : start + piece])
    assert file.tell() == len(content)
    file.commit()
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 3])
def test_an_upload_of_any_size_is_whole(bucket, contents, faults, small_chunks, size):
    content = random.Random(size).randbytes(size)
    upload(f"gs://{bucket}/x", content)
    assert contents() == {"x": content}
    chunks = -(-size // CHUNK)
    assert faults.count("PUT /upload") == (chunks if chunks > 1 else 0)


@pytest.mark.parametrize("size", [8 * 2**20, 8 * 2**20 + 1, 33 * 2**20 + 7])
def test_an_upload_of_many_megabytes_is_whole(bucket, contents, faults, size):
    content = random.Random(size).randbytes(size)
    faults.lose("POST /upload")
    faults.halve("PUT /upload", after=1)
    faults.lose("PUT /upload", after=1)
    upload(f"gs://{bucket}/x", content, piece=1_000_000)
    assert contents() == {"x": content}


BREAKS = ("fail", "lose", "cut", "reset", "halve", "spoil", "hang")


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_upload_that_is_broken_off_is_whole_in_the_end(
    bucket, contents, faults, small_chunks, impatient, kind, after
):
    content = random.Random(after).randbytes(3 * CHUNK + 5)
    more = {"status": 503} if kind == "fail" else {}
    getattr(faults, kind)("PUT /upload", times=1 if kind == "hang" else 2, after=after, **more)
    upload(f"gs://{bucket}/x", content)
    assert contents() == {"x": content}
    assert faults.count("PUT /upload") >= 4


@pytest.mark.parametrize("seed", range(8))
def test_uploads_under_faults_by_chance_are_whole(
    bucket, contents, faults, small_chunks, impatient, seed
):
    chance = random.Random(seed)
    content = chance.randbytes(chance.randrange(CHUNK, 8 * CHUNK))
    for kind in chance.choices(BREAKS[1:4], k=4) + chance.choices(BREAKS[4:6], k=2):
        getattr(faults, kind)("PUT /upload", after=chance.randrange(4))
    upload(f"gs://{bucket}/x", content, piece=chance.randrange(1000, 3 * CHUNK))
    assert contents() == {"x": content}


@pytest.mark.parametrize(
    ("size", "kind", "status"),
    [
        *[(CHUNK, kind, {"fail": 503}.get(kind)) for kind in ("fail", "hang", "reset")],
        *[(3 * CHUNK + 5, kind, {"fail": 503}.get(kind)) for kind in BREAKS],
        *[(3 * CHUNK + 5, "fail", status) for status in (404, 410)],
    ],
)
def test_an_upload_that_storage_does_not_take_is_an_error_and_no_short_object(
    bucket, contents, faults, small_chunks, impatient, size, kind, status
):
    content = random.Random(size).randbytes(size)
    request = "POST /upload" if size == CHUNK else "PUT /upload"
    getattr(faults, kind)(request, times=10**9, **({"status": status} if status else {}))
    file = files.NewFile(f"gs://{bucket}/new")
    file.write(content)
    with pytest.raises(StorageUnavailable, match=f"gs://{bucket}/new: .*tried 4 times"):
        file.commit()
    # Where only the reply to the last request is missing, the object is there.
    assert contents() == ({"new": content} if kind == "cut" else {})


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_whose_session_is_gone_begins_anew(
    bucket, contents, faults, small_chunks, impatient, status
):
    faults.fail("PUT /upload", status, times=1, after=2)
    upload(f"gs://{bucket}/x", b"x" * CHUNK * 4)
    assert contents() == {"x": b"x" * CHUNK * 4}
    assert faults.count("POST /upload") == 2


def test_a_missing_bucket_is_reported(bucket, faults, small_chunks):
    for size in (1, CHUNK * 2):
        file = files.NewFile(f"gs://{bucket}-missing/x")
        file.write(b"x" * size)
        with pytest.raises(FileNotFoundError, match="no such object or bucket"):
            file.commit()


def test_a_new_file_may_get_its_name_in_the_end(bucket, contents, faults, small_chunks):
    for size in (10, CHUNK * 2):
        file = files.NewFile(f"gs://{bucket}/aside")
        file.write(b"x" * size)
        file.commit(f"gs://{bucket}/{size}")
        assert file.uri == f"gs://{bucket}/{size}"
        file.abandon()
    assert contents() == {"10": b"x" * 10, str(CHUNK * 2): b"x" * CHUNK * 2}
    assert faults.count("copyTo") == 0


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_new_file_that_is_forgotten_makes_no_object(bucket, contents, small_chunks):
    for size in (10, CHUNK * 2):
        files.NewFile(f"gs://{bucket}/new").write(b"x" * size)
        gc.collect()
    assert contents() == {}


@pytest.mark.parametrize("fault", [refuse, break_off, lose])
def test_reading_goes_on_where_it_was_broken_off(
    put, bucket, faults, impatient, fault, monkeypatch
):
    monkeypatch.setattr("beam_batch_predict.files.reading.OBJECT_BUFFER_BYTES", 4096)
    content = random.Random(0).randbytes(20_000)
    put({"x": content})
    fault(faults, "GET /download")
    fault(faults, "/o/x")
    with files.open_file(f"gs://{bucket}/x") as file:
        assert b"".join(iter(lambda: file.read(700), b"")) == content
        file.seek(5)
        assert file.read() == content[5:]


def test_reading_stops_if_the_object_is_replaced(put, bucket, faults, impatient, monkeypatch):
    monkeypatch.setattr("beam_batch_predict.files.reading.OBJECT_BUFFER_BYTES", 4096)
    put({"x": b"1" * 10_000})
    with files.open_file(f"gs://{bucket}/x") as file:
        assert file.read(4096) == b"1" * 4096
        put({"x": b"2" * 10_000})
        faults.reset("GET /download")
        with pytest.raises(
            OSError, match=f"changed or replaced while it was read.*gs://{bucket}/x"
        ):
            file.read(4096)


def test_an_object_that_is_replaced_after_it_was_found_is_not_read(put, bucket, storage_client):
    put({"x": b"1" * 10, "in/y": b"1"})
    [found] = files.match(f"gs://{bucket}/x")
    blob = storage_client.bucket(bucket).get_blob("x")
    blob.metadata = {"colour": "green"}
    blob.patch()
    with files.open_file(found.uri, found) as file:
        assert file.read() == b"1" * 10
    put({"x": b"2" * 10})
    with pytest.raises(OSError, match="replaced after the job was planned"):
        files.open_file(found.uri, found)
    assert files.open_file(found.uri).read() == b"2" * 10


def test_a_move_that_fails_for_some_objects_is_whole_for_the_others(
    put, bucket, contents, faults, impatient
):
    put({f"from/{at}": b"%d" % at for at in range(5)})
    names = [[f"gs://{bucket}/{where}/{at}" for at in range(5)] for where in ("from", "to")]
    faults.fail("copyTo.*to%2F3", 503)
    with pytest.raises(StorageUnavailable, match="from/3 to gs://.*to/3: .*HTTP 503"):
        files.rename(*names)
    assert sorted(contents()) == ["from/3", "to/0", "to/1", "to/2", "to/4"]
    faults.heal()
    files.rename([names[0][3]], [names[1][3]])
    assert contents() == {f"to/{at}": b"%d" % at for at in range(5)}
