"""Files: whole or not there, claimed once, found by name and pattern."""

import errno
import hashlib
import io
import os
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.localfilesystem import LocalFileSystem
from google.api_core.exceptions import Forbidden, NotFound, ServiceUnavailable

from beam_batch_predict import files
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.files import errors as file_errors
from beam_batch_predict.files import reading


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names):
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(name.encode())


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl", "b c.jsonl"]),
        ("./*.jsonl", ["./a.jsonl", "./b c.jsonl"]),
        ("x/*", ["x/1.jsonl", "x/n\nl.jsonl"]),
        ("./x/*", ["./x/1.jsonl", "./x/n\nl.jsonl"]),
        ("x/**", ["x/1.jsonl", "x/n\nl.jsonl", "x/y/2.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b c.jsonl", "x/1.jsonl", "x/n\nl.jsonl", "x/y/2.jsonl"]),
        ("x/**/*.jsonl", ["x/1.jsonl", "x/n\nl.jsonl", "x/y/2.jsonl"]),
        ("x/**/**/2.jsonl", ["x/y/2.jsonl"]),
        ("x/**/y/**/*.jsonl", ["x/y/2.jsonl"]),
        ("x**/2.jsonl", ["x/y/2.jsonl"]),
        ("[[]1]*", ["[1] *.txt"]),
        ("*/1.jsonl", ["x/1.jsonl"]),
        ("?.jsonl", ["a.jsonl"]),
        ("[ab]*.jsonl", ["a.jsonl", "b c.jsonl"]),
        ("a.jsonl", ["a.jsonl"]),
        ("./a.jsonl", ["./a.jsonl"]),
        ("[1] *.txt", ["[1] *.txt"]),
        ("x/n\nl.jsonl", ["x/n\nl.jsonl"]),
        ("x", []),
        ("d.jsonl", []),
        ("missing", []),
        ("missing/*", []),
        ("dangling", []),
        ("", []),
    ],
)
def test_a_pattern_finds_files_under_the_working_directory(here, pattern, found):
    put("a.jsonl", "b c.jsonl", "[1] *.txt", "1 a.txt", "x/1.jsonl", "x/n\nl.jsonl", "x/y/2.jsonl")
    os.mkdir("d.jsonl")
    os.symlink("nowhere", "dangling")
    assert files.match(pattern) == [
        files.File(name, len(name.removeprefix("./")), os.path.getmtime(name)) for name in found
    ]
    whole = os.path.join(here, pattern)
    if pattern and not pattern.startswith("."):
        assert [file.uri for file in files.match(whole)] == [f"{here}/{name}" for name in found]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("x/*", ["x/a"]),
        ("x/?*", ["x/a"]),
        ("x/[.]*", []),
        ("x/**", ["x/a", "x/y/d"]),
        ("**", ["e", "x/a", "x/y/d"]),
        ("*/*", [".h/g", "x/a"]),
        ("*", ["e"]),
        ("x/.*", ["x/.b", "x/.c*"]),
        ("x/.b", ["x/.b"]),
        ("x/.c*", ["x/.c*"]),
        (".h/*", [".h/g"]),
        ("./*", ["./e"]),
    ],
)
def test_a_wildcard_matches_no_name_that_begins_with_a_dot(here, pattern, found):
    put("x/a", "x/.b", "x/.c*", "x/y/d", "x/.y/f", "e", ".e", ".h/g")
    assert [file.uri for file in files.match(pattern)] == found
    if not pattern.startswith((".", "./")):
        whole = [file.uri for file in files.match(f"{here}/{pattern}")]
        assert whole == [f"{here}/{name}" for name in found]


def test_all_files_in_a_directory_are_those_that_a_dot_hides_too(here):
    put("x/a", "x/.b", "x/.y/f")
    assert [file.uri for file in files.match_in("x", "**")] == ["x/.b", "x/.y/f", "x/a"]


@pytest.mark.parametrize("name", ["plain", "a[1]", "[!x]", "s*", "q?"])
def test_a_directory_may_have_characters_of_patterns(here, name):
    put(
        f"{name}/1.jsonl",
        f"{name}/y/2.jsonl",
        "a1/1.jsonl",
        "y/1.jsonl",
        "ss/1.jsonl",
        "qq/1.jsonl",
    )
    assert [file.uri for file in files.match_in(name, "*.jsonl")] == [f"{name}/1.jsonl"]
    assert len(files.match_in(f"{here}/{name}/", "**")) == 2


def test_a_file_is_written_whole_over_another_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "new" / "job.json"
    for content in (b"first", b"second" * 10_000, b""):
        files.write_file(str(target), content)
        assert target.read_bytes() == content
        assert os.listdir(target.parent) == ["job.json"]


def test_no_reader_sees_half_a_file(tmp_path):
    target = str(tmp_path / "job.json")
    versions = [bytes([at]) * 300_000 for at in range(20)]
    files.write_file(target, versions[0])
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [files.write_file(target, version) for version in versions])
        while not writing.done():
            with files.open_file(target) as file:
                content = file.read()
            assert len(content) == 300_000
            assert len(set(content)) == 1
        writing.result()


def test_a_file_that_cannot_be_written_leaves_nothing_and_an_error_with_its_path(tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError, match="taken"):
        files.write_file(str(target), b"content")
    assert os.listdir(tmp_path) == ["taken"]


def test_one_of_many_racing_runs_claims_a_directory(tmp_path):
    racers, start = 20, Barrier(20)

    def claim(_):
        start.wait()
        return files.claim_directory(str(tmp_path / "deep" / "out"))

    with ThreadPoolExecutor(racers) as pool:
        claims = list(pool.map(claim, range(racers)))
    assert sorted(claims) == [False] * 19 + [True]
    assert (tmp_path / "deep" / "out").is_dir()


def test_a_directory_cannot_be_claimed_where_a_file_exists(here):
    put("out")
    assert not files.claim_directory("out")
    with pytest.raises(OSError, match="out"):
        files.claim_directory("out/below")
    assert files.claim_directory("relative/")


def test_one_of_many_racing_processes_creates_a_file(tmp_path):
    racers, start = 20, Barrier(20)
    mark = tmp_path / "deep" / "mark"

    def create(number):
        start.wait()
        return files.create_exclusively(str(mark), b"%d" % number)

    with ThreadPoolExecutor(racers) as pool:
        created = list(pool.map(create, range(racers)))
    assert sum(created) == 1
    assert mark.read_bytes() == b"%d" % created.index(True)
    assert files.create_exclusively(str(mark), mark.read_bytes())
    assert os.listdir(mark.parent) == ["mark"]


def test_a_claimed_directory_begins_with_a_file_of_its_run(here):
    assert files.claim_directory("out", "job.json", b"{}")
    assert not files.claim_directory("out", "job.json", b"{}")
    with open("out/job.json", "rb") as file:
        assert file.read() == b"{}"


def test_a_new_file_is_seen_when_it_is_committed_and_not_before(here):
    put("out/x")
    for content, end in [(b"new", files.NewFile.commit), (b"newer", files.NewFile.abandon)]:
        file = files.NewFile("out/x")
        file.write(content)
        with open("out/x", "rb") as seen:
            assert seen.read() == (b"out/x" if content == b"new" else b"new")
        end(file)
        assert os.listdir("out") == ["x"]
    with open("out/x", "rb") as file:
        assert file.read() == b"new"


def test_renaming_may_be_done_again_and_leaves_other_files_alone(here):
    put("parts/a", "parts/b", "other")
    for _ in range(2):
        files.rename(["parts/a", "parts/b"], ["a", "b"], replace=False)
    assert sorted(os.listdir()) == ["a", "b", "other", "parts"]
    assert os.listdir("parts") == []
    os.link("a", "parts/a")  # an attempt that ended half way
    files.rename(["parts/a"], ["a"], replace=False)
    assert os.listdir("parts") == []
    with pytest.raises(FileExistsError, match="other"):
        files.rename(["a"], ["other"], replace=False)
    with pytest.raises(FileNotFoundError, match="missing"):
        files.rename(["missing"], ["c"], replace=False)
    assert sorted(os.listdir()) == ["a", "b", "other", "parts"]


def test_attempts_that_rename_at_the_same_time_all_succeed(here):
    for turn in range(30):
        names = [f"{turn}/{at}" for at in range(10)]
        put(*(f"parts/{name}" for name in names))
        os.makedirs(str(turn))
        start = Barrier(4)

        def attempt(_, names=names, start=start):
            start.wait()
            files.rename([f"parts/{name}" for name in names], names, replace=False)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(attempt, range(4)))
        assert sorted(os.listdir(str(turn))) == sorted(map(str, range(10)))
        assert os.listdir(f"parts/{turn}") == []


def test_renaming_replaces_a_file_at_the_destination(here):
    put("a", "b", "c")
    files.rename(["a", "b"], ["c", "d"])
    assert sorted(os.listdir()) == ["c", "d"]
    with open("c") as file:
        assert file.read() == "a"
    files.rename([], [])
    with pytest.raises(OSError, match="missing"):
        files.rename(["missing"], ["e"])
    with pytest.raises(ValueError, match="zip"):
        files.rename(["c", "d"], ["e"])


def test_deleting_takes_files_and_directories_and_minds_nothing_missing(here):
    put("a", "dir/b", "dir/deep/c", "kept")
    files.delete(["a", "dir", "missing"])
    files.delete([])
    assert os.listdir() == ["kept"]
    assert files.exists("kept")
    assert not files.exists("a")


def test_deleting_takes_a_name_for_a_name_and_not_for_a_pattern(here):
    put("a*", "ab", "[d]/x", "d/x", "?")
    os.symlink("d", "link")
    files.delete(["a*", "[d]", "?", "[ab]*", "link"])
    assert sorted(os.listdir()) == ["ab", "d"]
    assert os.listdir("d") == ["x"]


def test_compressed_files_are_opened_as_they_are_stored(here):
    put("x.gz")
    with files.open_file("x.gz") as file:
        assert file.read() == b"x.gz"
    files.write_file("y.gz", b"plain")
    with open("y.gz", "rb") as file:
        assert file.read() == b"plain"


@pytest.mark.parametrize(
    ("directory", "joined"),
    [("out", "out/x"), ("out/", "out/x"), ("gs://b/", "gs://b/x"), ("/", "/x"), ("", "x")],
)
def test_names_are_joined_to_directories(directory, joined):
    assert files.join(directory, "x") == joined


class StoreOfErrors(LocalFileSystem):
    """A file system whose opening fails as Google's client does, by the name of the file."""

    ERRORS = {"gone": NotFound, "refused": Forbidden, "down": ServiceUnavailable}

    @classmethod
    def scheme(cls):
        return "errors"

    def open(self, path, *_, **__):
        raise self.ERRORS[path.rpartition("/")[2]](f"GET {path}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gone", FileNotFoundError), ("refused", PermissionError), ("down", files.StorageUnavailable)],
)
def test_errors_of_an_object_store_are_those_of_files_unless_they_may_pass(name, kind, monkeypatch):
    monkeypatch.setattr(file_errors, "FIRST_WAIT", 0.001)
    with pytest.raises(kind, match=f"errors://b/{name}"):
        files.open_file(f"errors://b/{name}")


class Unsteady(io.FileIO):
    """A file of a network disk that fails for a time, again and again."""

    reads = 0
    every = 3
    error = errno.ESTALE

    def _fail(self):
        Unsteady.reads += 1
        if Unsteady.reads % Unsteady.every == 0:
            super().readinto(bytearray(7))  # as if some bytes had come
            raise OSError(Unsteady.error, os.strerror(Unsteady.error), self.name)

    def readinto(self, buffer):
        self._fail()
        return super().readinto(buffer)

    def read(self, size=-1):
        self._fail()
        return super().read(size)


class UnsteadyStore(LocalFileSystem):
    """The same as a file system of Beam."""

    @classmethod
    def scheme(cls):
        return "unsteady"

    def open(self, path, *_, **__):
        return Unsteady(path.removeprefix("unsteady://"))

    def metadata(self, path):
        return super().metadata(path.removeprefix("unsteady://"))


@pytest.fixture(params=["", "unsteady://"])
def unsteady(request, tmp_path, monkeypatch):
    """A function that makes a file of some content which is read from storage that fails."""
    monkeypatch.setattr(file_errors, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(reading.io, "FileIO", Unsteady)
    monkeypatch.setattr(reading, "BUFFER_BYTES", 64)
    monkeypatch.setattr(Unsteady, "every", 3)
    monkeypatch.setattr(Unsteady, "error", errno.ESTALE)

    def make(content):
        (tmp_path / "x").write_bytes(content)
        return f"{request.param}{tmp_path / 'x'}"

    return make


CONTENT = bytes(range(256)) * 20


@pytest.mark.parametrize("seed", range(5))
def test_reading_goes_on_where_it_was_broken_off(unsteady, seed):
    chance = random.Random(seed)
    uri = unsteady(CONTENT)
    with files.open_file(uri) as file:
        for _ in range(200):
            if chance.random() < 0.3:
                at = file.seek(chance.randrange(len(CONTENT) + 10))
            at = file.tell()
            size = chance.choice([1, 10, 63, 64, 65, 1000, -1])
            assert file.read(size) == CONTENT[at:][: None if size < 0 else size]
    assert Unsteady.reads > 20


def test_reading_that_never_goes_on_says_where_and_what_to_do(unsteady, monkeypatch):
    uri = unsteady(CONTENT)
    monkeypatch.setattr(Unsteady, "every", 1)
    with (
        files.open_file(uri) as file,
        pytest.raises(files.StorageUnavailable, match="/x.*tried 4 times; run the job again"),
    ):
        file.read(10)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_errors_of_the_disk_and_refusals_are_not_retried(unsteady, monkeypatch, number):
    uri = unsteady(CONTENT)
    monkeypatch.setattr(Unsteady, "every", 1)
    monkeypatch.setattr(Unsteady, "error", number)
    before = Unsteady.reads
    with files.open_file(uri) as file, pytest.raises(OSError, match="/x"):
        file.read(10)
    assert Unsteady.reads == before + 1


@pytest.mark.parametrize("change", ["replaced", "written", "longer"])
def test_a_file_that_changes_before_it_is_opened_again_is_not_read_on(
    unsteady, tmp_path, monkeypatch, change
):
    uri = unsteady(CONTENT)
    path = tmp_path / "x"
    with files.open_file(uri) as file:
        assert file.read(64) == CONTENT[:64]
        if change == "replaced":
            (tmp_path / "y").write_bytes(CONTENT[::-1])
            os.utime(tmp_path / "y", (1, 1))
            os.replace(tmp_path / "y", path)
        else:
            path.write_bytes(CONTENT[::-1] + b"x" * (change == "longer"))
            os.utime(path, (1, 1))
        monkeypatch.setattr(Unsteady, "every", Unsteady.reads + 1)
        with pytest.raises(OSError, match="changed or replaced while it was read"):
            file.read(64)


def test_a_file_that_is_cut_while_it_is_read_is_not_taken_for_a_short_one(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"x" * 10**6)
    with files.open_file(str(path)) as file:
        file.read(10)
        os.truncate(path, 500_000)
        with pytest.raises(OSError, match="ended at byte 500000 of 1000000"):
            file.read()


def test_a_file_is_opened_only_as_it_was_found(here):
    put("x")
    [found] = files.match("x")
    with files.open_file("x", found) as file:
        assert file.read() == b"x"
    for change in (lambda: os.utime("x", (1, 1)), lambda: os.truncate("x", 0)):
        change()
        with pytest.raises(OSError, match="replaced after the job was planned.*x"):
            files.open_file("x", found)
        [found] = files.match("x")


def test_a_directory_or_nothing_cannot_be_opened(here):
    os.mkdir("d")
    with pytest.raises(IsADirectoryError, match="d"):
        files.open_file("d")
    with pytest.raises(FileNotFoundError, match="missing"):
        files.open_file("missing")


def test_a_pipe_is_refused_and_not_waited_for(here):
    os.mkfifo("pipe")
    with pytest.raises(OSError, match=r"not a regular file.*pipe"):
        files.open_file("pipe")


def test_a_new_file_tells_its_size_and_digest_and_may_be_read_before_it_is_there(here):
    for name in ("", "other"):
        file = files.NewFile("out")
        writer = pq.ParquetWriter(file, pa.schema([("x", pa.int64())]))
        writer.write_table(pa.table({"x": range(1000)}))
        writer.close()
        assert not file.closed
        file.close()
        with file.open_written() as content:
            assert pq.read_table(content)["x"].to_pylist() == list(range(1000))
        assert not os.path.exists(name or "out")
        file.commit(name)
        assert set(os.listdir()) == {"out", name or "out"}
        with open(name or "out", "rb") as written:
            content = written.read()
        digest = hashlib.sha256(content).hexdigest()
        assert (file.uri, file.size, file.sha256) == (name or "out", len(content), digest)
        file.abandon()
        assert os.path.exists(name or "out")


def test_a_new_file_that_cannot_get_its_name_leaves_nothing(here):
    file = files.NewFile("dir/x")
    file.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        file.close() or file.write(b"y")
    os.makedirs("taken/x")
    with pytest.raises(OSError, match="taken"):
        file.commit("taken")
    assert os.listdir("dir") == []


@pytest.mark.parametrize("use", [files.check_reach, files.open_file, files.read_file])
def test_capitals_of_the_scheme_are_refused_as_such(use):
    for uri in ("GS://bucket/a", "Gs://bucket/a"):
        with pytest.raises(
            InvalidArgument, match=f"expected gs:// in small letters, found '{uri}'"
        ):
            use(uri)
