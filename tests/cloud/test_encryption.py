"""Objects are encrypted with the key of their job: each request that makes one has the key."""

import json
import re
import urllib.parse

import pytest

from beam_batch_predict import files
from beam_batch_predict.files import gcs

KEY = "projects/p/locations/us/keyRings/r/cryptoKeys/k"


@pytest.fixture
def directory(bucket):
    """The URI of a directory whose objects have the key."""
    uri = f"gs://{bucket}/kept"
    files.encrypt_below(uri, KEY)
    yield uri
    files.encrypt_below(uri, "")


def made(faults, below):
    """The requests that make objects below a name, each with the key in it."""
    found = []
    for line in map(urllib.parse.unquote, faults.requests):
        path, _, query = line.partition("?")
        target = re.search("/(?:copy|rewrite)To/b/[^/]+/o/(.*)", path)
        name = target[1] if target else query.rpartition(" ")[2]
        if (target or line.startswith("POST /upload")) and name.startswith(below):
            key = re.search(r"(?:kmsKeyName|destinationKmsKeyName)=([^& ]+)", query)
            found.append((name, key and key[1]))
    return found


@pytest.mark.parametrize("rows", [3, 1500])
def test_every_object_of_a_job_has_its_key_also_those_of_workers(
    rows, job, run, put, faults, two_workers
):
    put({"in/a.x": b"".join(b"%d\n" % row for row in range(rows))})
    described = job(encryptionSpec={"kmsKeyName": KEY})
    record, published = run(described, *(two_workers if rows > 3 else ()))
    assert record["completionStats"]["successfulCount"] == str(rows)
    lines = published["predictions_0001.jsonl"].splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == [2.0 * n for n in range(rows)]
    written = made(faults, "out/")
    names = {name.rpartition("/")[2] for name, _ in written}
    assert {"job.json", "manifest.json", "predictions_0001.jsonl", "attempt"} <= names
    assert {key for _, key in written} == {KEY}


def test_without_a_key_no_request_names_one(job, run, put, faults):
    put({"in/a.x": b"1\n"})
    run(job())
    written = made(faults, "out/")
    assert len(written) > 5
    assert {key for _, key in written} == {None}


@pytest.mark.parametrize("size", [10, 9 * 1024 * 1024])
def test_uploads_have_the_key_whatever_their_size(size, directory, faults):
    with files.NewFile(f"{directory}/a") as file:
        file.write(bytes(size))
        file.commit()
    assert files.create_exclusively(f"{directory}/b", b"b")
    assert made(faults, "kept/") == [("kept/a", KEY), ("kept/b", KEY)]
    assert files.read_file(f"{directory}/a") == bytes(size)


def test_a_rewrite_that_needs_several_requests_is_continued(directory, faults):
    sources = [f"{directory}/{name}" for name in "ab"]
    for uri in sources:
        files.write_file(uri, b"x")
    faults.pause("rewriteTo.*moved-a", times=3)
    targets = [f"{directory}/moved-{name}" for name in "ab"]
    gcs.rename(sources, targets, replace=False)
    assert [files.read_file(uri) for uri in targets] == [b"x", b"x"]
    assert not any(map(files.exists, sources))
    assert faults.count("rewriteTo.*moved-a.*rewriteToken=continued") == 3
    assert faults.count("rewriteTo.*moved-b") == 1
    assert {key for _, key in made(faults, "kept/")} == {KEY}


def test_a_rewrite_that_fails_later_keeps_its_source(directory, faults):
    files.write_file(f"{directory}/a", b"x")
    faults.pause("rewriteTo")
    faults.fail("rewriteToken", 403)
    with pytest.raises(PermissionError, match="kept/moved"):
        gcs.rename([f"{directory}/a"], [f"{directory}/moved"])
    assert files.read_file(f"{directory}/a") == b"x"


def test_an_encrypted_object_that_must_not_be_replaced_stays(directory, faults):
    for name in "ab":
        files.write_file(f"{directory}/{name}", name.encode())
    with pytest.raises(FileExistsError, match="kept/b"):
        files.rename([f"{directory}/a"], [f"{directory}/b"], replace=False)
    assert files.read_file(f"{directory}/b") == b"b"
