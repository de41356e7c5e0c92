"""Files on Cloud Storage: found, whole or not there, moved without loss, guarded, errors told."""

import errno
import gc
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest

from beam_batch_predict import files

ODD = [
    "a b.jsonl",
    "é.jsonl",
    "c#1.jsonl",
    "d%20.jsonl",
    "e?.jsonl",
    "f[1].jsonl",
    "g*.jsonl",
    "+&=.jsonl",
]


@pytest.fixture
def put(storage_client, bucket):
    """A function that makes objects, each with its name for content; gives their URIs."""

    def make(*names):
        for name in names:
            storage_client.bucket(bucket).blob(name).upload_from_string(name.encode())
        return [f"gs://{bucket}/{name}" for name in names]

    return make


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("in/*.jsonl", ["in/a.jsonl", "in/b c.jsonl"]),
        ("in/**.jsonl", ["in/a.jsonl", "in/b c.jsonl", "in/x/d.jsonl"]),
        ("in/**/*.jsonl", ["in/a.jsonl", "in/b c.jsonl", "in/x/d.jsonl"]),
        ("**/d.jsonl", ["in/x/d.jsonl"]),
        ("in/x/**/d.jsonl", ["in/x/d.jsonl"]),
        ("in/x/", ["in/x/d.jsonl"]),
        ("in/?.jsonl", ["in/a.jsonl"]),
        ("in/[ab]*.jsonl", ["in/a.jsonl", "in/b c.jsonl"]),
        ("*/x/d.jsonl", ["in/x/d.jsonl"]),
        ("in/a.jsonl", ["in/a.jsonl"]),
        ("in/.*", ["in/.hidden.jsonl"]),
        ("in/.hidden.jsonl", ["in/.hidden.jsonl"]),
        ("in", []),
        ("in/missing*", []),
    ],
)
def test_a_pattern_finds_objects(bucket, put, pattern, found):
    put("in/a.jsonl", "in/b c.jsonl", "in/.hidden.jsonl", "in/x/d.jsonl", "into.jsonl")
    assert [(file.uri, file.size) for file in files.match(f"gs://{bucket}/{pattern}")] == [
        (f"gs://{bucket}/{name}", len(name)) for name in found
    ]


def test_odd_names_are_names_and_not_patterns(bucket, put, contents):
    uris = put(*ODD, "ee.jsonl", "f1.jsonl", "gg.jsonl")
    for name, uri in zip(ODD, uris, strict=False):
        assert [file.uri for file in files.match(uri)] == [uri]
        with files.open_file(uri) as file:
            assert file.read() == name.encode()
        files.rename([uri], [f"{uri}.moved"])
        assert files.exists(f"{uri}.moved")
        files.write_file(uri, b"new")
        files.delete([f"{uri}.moved", f"gs://{bucket}/missing?"])
    assert contents() == dict.fromkeys(ODD, b"new") | {
        name: name.encode() for name in ("ee.jsonl", "f1.jsonl", "gg.jsonl")
    }


def test_an_object_is_read_in_pieces_from_anywhere(bucket, storage_client, faults):
    content = bytes(range(256)) * 4
    storage_client.bucket(bucket).blob("x").upload_from_string(content)
    with files.open_file(f"gs://{bucket}/x") as file:
        assert file.read(10) == content[:10]
        assert file.seek(1000) == 1000
        assert file.read(100) == content[1000:]
        assert file.read(1) == b""
        file.seek(-4, 2)
        assert file.tell() == 1020
        assert file.read() == content[1020:]
        file.seek(3)
        assert b"".join(iter(lambda: file.read(300), b"")) == content[3:]
    assert faults.count("GET /download") <= 3


def test_reading_a_small_object_takes_two_requests(put, faults):
    [uri] = put("x")
    with files.open_file(uri) as file:
        assert file.read(1000) + file.read(1000) == b"x"
    assert len(faults.requests) == 2, faults.requests


def test_an_empty_object_is_empty(bucket, storage_client):
    storage_client.bucket(bucket).blob("x").upload_from_string(b"")
    with files.open_file(f"gs://{bucket}/x") as file:
        assert file.read() == file.read(5) == b""


def test_a_new_file_is_seen_when_it_is_committed_and_not_before(bucket, contents):
    large = b"x" * (17 * 1024 * 1024)
    file = files.NewFile(f"gs://{bucket}/out/new")
    file.write(large)
    assert contents() == {}
    file.write(b"end")
    file.commit()
    assert contents() == {"out/new": large + b"end"}
    for content in (b"", large):
        file = files.NewFile(f"gs://{bucket}/out/new")
        file.write(content)
        file.abandon()
        del file
        gc.collect()
    assert contents() == {"out/new": large + b"end"}


def test_a_full_local_disk_is_reported_and_nothing_is_uploaded(bucket, contents, monkeypatch):
    file = files.NewFile(f"gs://{bucket}/new")
    file._file.close()
    with suppress(OSError), open("/dev/full", "wb") as full:
        monkeypatch.setattr(file, "_file", full)
        with pytest.raises(OSError, match=r"No space left on device: the local.*TMPDIR") as told:
            file.write(b"x" * 1_000_000)
        assert (told.value.errno, told.value.filename) == (errno.ENOSPC, f"gs://{bucket}/new")
        file.write(b"short, and buffered")
        with pytest.raises(OSError, match=r"No space left on device.*TMPDIR"):
            file.commit()
    assert contents() == {}
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    with pytest.raises(OSError, match=f"the local disk.*gs://{bucket}/new"):
        files.NewFile(f"gs://{bucket}/new")


def test_one_of_many_racing_runs_creates_an_object_or_claims_a_directory(bucket, contents):
    racers, start = 8, Barrier(8)

    def race(number):
        start.wait()
        content = b"run %d" % number
        return (
            files.create_exclusively(f"gs://{bucket}/mark", content),
            files.claim_directory(f"gs://{bucket}/out", "job.json", content),
        )

    with ThreadPoolExecutor(racers) as pool:
        won = list(pool.map(race, range(racers)))
    for name, wins in zip(("mark", "out/job.json"), zip(*won, strict=True), strict=True):
        assert sum(wins) == 1
        assert contents()[name] == b"run %d" % wins.index(True)


def test_a_claim_whose_answer_is_lost_is_still_a_claim(bucket, contents, faults):
    faults.lose("POST /upload")
    assert files.create_exclusively(f"gs://{bucket}/mark", b"me")
    assert faults.count("POST /upload") == 2
    assert files.create_exclusively(f"gs://{bucket}/mark", b"me")
    assert not files.create_exclusively(f"gs://{bucket}/mark", b"you")
    assert contents() == {"mark": b"me"}


def test_a_directory_with_any_object_in_it_is_taken(bucket, put):
    put("out/x/y", "outside")
    assert not files.claim_directory(f"gs://{bucket}/out")
    assert not files.claim_directory(f"gs://{bucket}/out", "job.json", b"")
    assert files.claim_directory(f"gs://{bucket}/outs", "job.json", b"")


@pytest.fixture
def parts(put):
    """150 objects, and a new name for each."""
    with ThreadPoolExecutor(8) as pool:
        uris = [uri for [uri] in pool.map(put, [f"parts/{i}" for i in range(150)])]
    return uris, [uri.replace("/parts/", "/out/") for uri in uris]


def test_many_objects_are_moved_in_few_requests(parts, contents, faults):
    files.rename(*parts)
    assert contents() == {f"out/{i}": f"parts/{i}".encode() for i in range(150)}
    assert faults.batches == 4
    files.delete(parts[1])
    assert contents() == {}
    assert faults.batches == 6


def test_what_fails_for_a_time_is_sent_again_and_nothing_else(parts, contents, faults):
    faults.fail(r"copyTo.*out%2F7\d\b", 503, times=1)
    faults.fail(r"DELETE .*parts%2F11\b", 429, times=2)
    faults.fail(r"^POST /batch", 502, times=1)
    faults.lose(r"copyTo.*out%2F20\b")
    files.rename(*parts)
    assert contents() == {f"out/{i}": f"parts/{i}".encode() for i in range(150)}
    assert faults.count("copyTo") == 150 + 1 + 1
    assert faults.count("DELETE") == 150 + 2


@pytest.mark.parametrize("replace", [True, False])
def test_a_move_that_stopped_half_way_is_continued(parts, contents, faults, replace):
    faults.fail(r"copyTo.*out%2F1\d\d\b", 403)
    faults.fail(r"DELETE .*parts%2F[2-4]\d\b", 403)
    faults.lose(r"copyTo.*out%2F33\b")
    with pytest.raises(PermissionError, match=r"HTTP 403.*parts/"):
        files.rename(*parts, replace=replace)
    found = contents()
    assert {f"out/{i}" if i < 100 else f"parts/{i}" for i in range(150)} <= set(found)
    faults.heal()
    left = [pair for pair in zip(*parts, strict=True) if pair[0].split("/", 3)[3] in found]
    files.rename(*zip(*left, strict=True), replace=replace)
    assert contents() == {f"out/{i}": f"parts/{i}".encode() for i in range(150)}


def test_a_move_may_be_repeated_but_replaces_no_object_of_another_run(parts, put, contents, faults):
    sources, names = parts
    files.rename(sources[:5], names[:5], replace=False)
    files.rename(sources, names, replace=False)
    files.rename(sources, names, replace=False)
    others = put("out/other")
    [mine] = put("parts/mine")
    with pytest.raises(FileExistsError, match="out/other"):
        files.rename([mine], others, replace=False)
    assert contents("parts/") == {"parts/mine": b"parts/mine"}
    assert contents("out/other") == {"out/other": b"out/other"}
    with pytest.raises(FileNotFoundError, match="parts/no"):
        files.rename([mine.replace("mine", "no")], [mine.replace("mine", "x")], replace=False)


def test_two_attempts_that_move_at_once_lose_nothing(parts, contents, faults):
    with ThreadPoolExecutor(2) as pool:
        for attempt in [pool.submit(files.rename, *parts, replace=False) for _ in range(2)]:
            attempt.result()
    assert contents() == {f"out/{i}": f"parts/{i}".encode() for i in range(150)}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, PermissionError), (404, FileNotFoundError), (400, OSError)],
)
@pytest.mark.parametrize(
    "act",
    [
        lambda uri: files.match(f"{uri}*"),
        files.open_file,
        files.exists,
        lambda uri: files.write_file(uri, b"x"),
        lambda uri: files.create_exclusively(uri, b"x"),
        lambda uri: files.rename([uri], [f"{uri}.moved"]),
        lambda uri: files.claim_directory(uri),
    ],
)
def test_a_refusal_is_an_os_error_with_the_path(put, faults, status, kind, act):
    [uri] = put("dir/x.jsonl")
    faults.fail(".*", status)
    if status == 404 and act is files.exists:
        assert not files.exists(uri)
        return
    with pytest.raises(OSError, match=r"gs://test-.*/dir/x\.jsonl") as error:
        act(uri)
    assert isinstance(error.value, kind)


@pytest.mark.parametrize("status", [408, 503])
def test_reading_and_writing_wait_for_what_fails_for_a_time(put, contents, faults, status):
    [uri] = put("x")
    faults.fail("GET /storage/v1/b/.*/o/x", status, times=1)
    faults.fail("GET /download", status, times=1)
    faults.fail("POST /upload", status, times=1)
    with files.open_file(uri) as file:
        assert file.read() == b"x"
    new = files.NewFile(f"{uri}.new")
    new.write(b"y" * 10)
    new.commit()
    files.write_file(f"{uri}.whole", b"z")
    assert contents() == {"x": b"x", "x.new": b"y" * 10, "x.whole": b"z"}


def test_a_reply_that_is_cut_off_is_fetched_again(bucket, storage_client, faults):
    content = bytes(range(256)) * 1000
    storage_client.bucket(bucket).blob("x").upload_from_string(content)
    faults.cut("GET /download", times=1)
    faults.cut(r"GET /storage/v1/b/.*/o\?", times=1)
    assert [file.size for file in files.match(f"gs://{bucket}/*")] == [256_000]
    with files.open_file(f"gs://{bucket}/x") as file:
        assert file.read() == content
    assert faults.count("GET /download") == 2


def test_an_object_that_becomes_shorter_or_goes_is_not_read_as_a_short_one(bucket, storage_client):
    blob = storage_client.bucket(bucket).blob("x")
    for change, kind in [(lambda: blob.upload_from_string(b"12"), OSError), (blob.delete, OSError)]:
        blob.upload_from_string(b"1234567890")
        with files.open_file(f"gs://{bucket}/x") as file:
            file.seek(5)
            change()
            with pytest.raises(kind, match=f"gs://{bucket}/x"):
                file.read()


def test_a_part_that_cannot_be_written_is_an_error_and_leaves_nothing(bucket, contents, faults):
    faults.fail("POST /upload", 403)
    file = files.NewFile(f"gs://{bucket}/new")
    file.write(b"x")
    with pytest.raises(PermissionError, match=f"gs://{bucket}/new"):
        file.commit()
    assert contents() == {}
