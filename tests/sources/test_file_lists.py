"""Lists of files: every line a row, in order, whatever its file is like."""

import io
import os
import threading
import time

import pytest

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.files import match, open_file
from beam_batch_predict.sources import file_lists
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import FileList
from beam_batch_predict.status import Code, Status


@pytest.fixture
def listed(tmp_path):
    """A function from lines to a list of files in the test's directory."""

    def write(*lines, name="list.txt", end="\n"):
        path = tmp_path / name
        path.write_bytes(b"".join(os.fsencode(line) + end.encode() for line in lines))
        return str(path)

    return write


@pytest.fixture
def stored(tmp_path):
    def store(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return store


def read(path, opened=open_file, batch_size=4, stop=None, **limit):
    """(URI, content) of each row, and its offset."""
    span = Span(path, 0, stop or os.path.getsize(path))
    chunk = Chunk(0, 1, (span,), "file-list")._replace(**limit)
    batches = list(read_chunk(chunk, opened, batch_size))
    assert not any(batch.source_failures for batch in batches)
    return (
        [tuple(row) for batch in batches for row in batch.rows],
        [offset for batch in batches for offset in batch.offsets],
    )


def test_files_come_in_the_order_of_the_list(listed, stored):
    paths = [stored(f"f{number}", b"%d" % number) for number in (5, 3, 9, 3)]
    rows, offsets = read(listed(*paths))
    assert rows == [(path, path[-1].encode()) for path in paths]
    assert offsets == [at * (len(paths[0]) + 1) for at in range(4)]


def test_order_is_that_of_the_list_however_long_files_take(listed, stored):
    paths = [stored(f"f{number:03}", b"%d" % number) for number in range(100)]
    turn = iter(range(10_000))

    def slow(uri):
        if uri in paths:
            time.sleep((next(turn) * 7 % 10) / 2000)
        return open_file(uri)

    rows, _ = read(listed(*paths), slow)
    assert rows == [(path, b"%d" % number) for number, path in enumerate(paths)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_no_rows_and_spaces_around_are_left_out(listed, stored, end):
    path = stored("f", b"1")
    rows, offsets = read(listed("", f"  {path}\t", " ", path, "", end=end))
    assert rows == [(path, b"1")] * 2
    assert offsets[0] == len(end)


def test_a_csv_of_one_column_is_a_list(listed, stored):
    names = ["plain", "with, comma", 'with "quote"', "spa ce"]
    paths = [stored(name, name.encode()) for name in names]
    quoted = ['"' + path.replace('"', '""') + '"' for path in paths]
    rows, _ = read(listed(*quoted, paths[3], name="list.csv"))
    assert rows == [(path, os.path.basename(path).encode()) for path in [*paths, paths[3]]]


def test_relative_paths_start_at_the_working_directory(listed, stored, tmp_path, monkeypatch):
    stored("f", b"1")
    (tmp_path / "lists").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read(listed("f", "./f", name="lists/list.txt"))[0] == [("f", b"1"), ("./f", b"1")]


def test_a_compressed_file_is_sent_as_it_is(listed, stored):
    path = stored("f.gz", b"not even gzip")
    assert read(listed(path))[0] == [(path, b"not even gzip")]


def test_an_empty_file_is_an_instance(listed, stored):
    path = stored("f", b"")
    assert read(listed(path))[0] == [(path, b"")]


def test_files_that_cannot_be_read_are_row_errors(listed, stored, tmp_path):
    good = stored("good", b"1")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    lines = [good, str(tmp_path / "gone"), str(tmp_path), str(loop), "nosuch://a/b", "a\0b", '""']
    rows, _ = read(listed(*lines, b"\xff\xfe", good))
    assert [uri for uri, _ in rows] == [*lines[:-1], "", r"\xff\xfe", good]
    codes = [content.code if isinstance(content, Status) else content for _, content in rows]
    bad = Code.INVALID_ARGUMENT
    assert codes == [b"1", Code.NOT_FOUND, bad, Code.UNAVAILABLE, bad, bad, bad, bad, b"1"]
    assert rows[1][1].message == "there is no such file"
    assert rows[2][1].message == "the URI names a directory, not a file"
    assert rows[6][1].message == "the line has no URI"
    assert rows[7][1].message == "the URI is not valid UTF-8: save the list as UTF-8"


def test_a_list_whose_lines_end_with_carriage_returns_alone_says_so(listed, stored):
    good, odd = stored("good", b"1"), stored("odd\rname", b"2")
    rows, _ = read(listed(f"{good}\r{good}\r", odd, f"{good}\r"))
    assert [uri for uri, _ in rows] == [f"{good}\r{good}", odd, good]
    assert rows[0][1].code is Code.NOT_FOUND
    assert "end them with LF or CRLF" in rows[0][1].message
    assert [content for _, content in rows[1:]] == [b"2", b"1"]


class Broken:
    """A file that fails when so many bytes have been read."""

    def __init__(self, good, error):
        self.good, self.error, self.closed = good, error, False

    def read(self, size=-1):
        if not self.good:
            raise self.error
        part, self.good = self.good[:size], self.good[size:]
        return part

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class StorageError(Exception):
    """What a client of an object store raises: of no common class."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "no"), Code.PERMISSION_DENIED),
        (TimeoutError("slow"), Code.UNAVAILABLE),
        (StorageError("503"), Code.UNAVAILABLE),
        (StorageError(), Code.UNAVAILABLE),
        (MemoryError(), Code.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("read_before", [None, b"", b"12", b"12345"])
def test_an_error_of_the_storage_is_one_of_the_row(
    listed, stored, error, code, read_before, monkeypatch
):
    monkeypatch.setattr(file_lists, "BYTES_AT_ONCE", 4)
    good = stored("good", b"1")
    broken = Broken(read_before, error)

    def failing(uri):
        if uri != "bad":
            return open_file(uri)
        if read_before is None:
            raise error
        return broken

    rows, _ = read(listed(good, "bad", good), failing)
    assert [content for _, content in (rows[0], rows[2])] == [b"1", b"1"]
    assert rows[1][1].code is code
    assert rows[1][1].message
    assert broken.closed or read_before is None


def test_a_file_that_gives_few_bytes_a_call_is_read_to_its_end(listed):
    class Trickle(Broken):
        def read(self, size=-1):
            part, self.good = self.good[:1], self.good[1:]
            return part

    path = listed("a", "b")
    rows, _ = read(path, lambda uri: open_file(uri) if uri == path else Trickle(b"12345", None))
    assert rows == [("a", b"12345"), ("b", b"12345")]


@pytest.mark.parametrize("ahead", [3, 10, 11, 100])
def test_a_file_that_is_too_large_is_a_row_error(listed, stored, ahead, monkeypatch):
    monkeypatch.setattr(file_lists, "BYTES_AT_ONCE", ahead)
    paths = [stored(f"f{size}", b"x" * size) for size in (9, 10, 11, 12, 99, 1)]
    rows, _ = read(listed(*paths), max_instance_bytes=10)
    message = "the file is larger than the 10 bytes that --max_instance_bytes allows"
    error = Status(Code.OUT_OF_RANGE, message)
    assert [content for _, content in rows] == [b"x" * 9, b"x" * 10, error, error, error, b"x"]


def test_no_more_than_the_limit_is_read_of_a_large_file(listed, monkeypatch):
    monkeypatch.setattr(file_lists, "BYTES_AT_ONCE", 4)
    files = {}

    def endless(uri):
        if uri == path:
            return open_file(uri)
        return files.setdefault(uri, Broken(b"x" * 1000, None))

    path = listed("a")
    assert read(path, endless, max_instance_bytes=10)[0][0][1].code is Code.OUT_OF_RANGE
    assert len(files["a"].good) == 1000 - 11


def test_few_large_files_are_in_memory_at_a_time(listed, monkeypatch):
    """Read ahead: the beginnings only. Handed on: few at a time, in small batches."""
    monkeypatch.setattr(file_lists, "BYTES_AT_ONCE", 1000)
    monkeypatch.setattr(file_lists, "BYTES_TOGETHER", 40_000)
    taken = 0

    class Large(Broken):
        def read(self, size=-1):
            nonlocal taken
            part = super().read(size) if self.good else b""
            taken += len(part)
            return part

    path = listed(*map(str, range(100)))
    found = file_lists.read_listed_files(
        Span(path, 0, os.path.getsize(path)),
        lambda uri: open_file(uri) if uri == path else Large(b"x" * 10_000, None),
    )
    given = 0
    for rows in found:
        assert len(rows.rows) == 4
        assert rows.size == 40_000
        given += 40_000
        assert taken - given <= 1000 * file_lists.FILES_AT_ONCE
    assert given == 1_000_000


def test_large_files_come_in_small_batches(listed, stored):
    path = stored("f", b"x" * 3_000_000)
    name = listed(*[path] * 20)
    span = Span(name, 0, os.path.getsize(name))
    batches = list(read_chunk(Chunk(0, 1, (span,), "file-list"), open_file, 2))
    assert {len(batch) for batch in batches[:-1]} == {2}
    assert sum(map(len, batches)) == 20


def test_files_are_read_at_the_same_time(listed):
    together = threading.Barrier(file_lists.FILES_AT_ONCE, timeout=20)
    names = [str(number) for number in range(2 * file_lists.FILES_AT_ONCE)]
    path = listed(*names)

    def meeting(uri):
        if uri in names[: file_lists.FILES_AT_ONCE]:
            together.wait()
        return open_file(uri) if uri == path else io.BytesIO(b"1")

    assert len(read(path, meeting)[0]) == len(names)


def test_a_reader_that_stops_leaves_no_file_open(listed, monkeypatch):
    monkeypatch.setattr(file_lists, "BYTES_AT_ONCE", 2)
    path = listed(*map(str, range(50)))
    opened = []

    def counting(uri):
        if uri == path:
            return open_file(uri)
        opened.append(Broken(b"1234", None))
        return opened[-1]

    monkeypatch.setattr(file_lists, "BYTES_TOGETHER", 1)
    monkeypatch.setattr(Broken, "read", lambda self, size=-1: self.good[:size] or b"")
    found = file_lists.read_listed_files(Span(path, 0, os.path.getsize(path)), counting, 4)
    next(found)
    found.close()
    assert opened
    assert all(file.closed for file in opened)


def test_lists_are_cut_into_chunks_without_losing_or_repeating_a_file(listed, stored):
    paths = [stored(f"f{number:02}", b"%d" % number) for number in range(30)]
    source = FileList(listed(*paths), chunk_bytes=100)
    chunks = plan(source, match)
    assert len(chunks) > 10
    rows = [
        tuple(row)
        for chunk in chunks
        for batch in read_chunk(chunk, open_file, 4)
        for row in batch.rows
    ]
    assert rows == [(path, b"%d" % number) for number, path in enumerate(paths)]


def test_a_list_that_vanished_is_a_failure_of_the_chunk(tmp_path):
    chunk = Chunk(0, 1, (Span(str(tmp_path / "gone"), 0, 10),), "file-list")
    (batch,) = read_chunk(chunk, open_file, 4)
    assert [failure.code for failure in batch.source_failures] == [Code.NOT_FOUND]


def test_pipes_and_devices_are_row_errors_without_a_wait(listed, stored, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    odd = {
        str(tmp_path / "pipe"): "a named pipe",
        "/dev/zero": "a device",
        str(tmp_path / "link"): "a device",
        "/proc/self/mem": "a file that the kernel makes",
        "/proc/self/environ": "a file that the kernel makes",
    }
    good = stored("good", b"1")
    rows, _ = read(listed(*odd, good))
    assert rows[-1] == (good, b"1")
    for (uri, kind), (name, status) in zip(odd.items(), rows[:-1], strict=True):
        assert name == uri
        assert status.code is Code.INVALID_ARGUMENT
        assert status.message == f"the file is not read: it is {kind}, not a file of data"


def test_a_link_is_read_and_one_to_itself_is_a_row_error(listed, stored, tmp_path):
    (tmp_path / "link").symlink_to(stored("f", b"1"))
    (tmp_path / "loop").symlink_to("loop")
    rows, _ = read(listed(tmp_path / "link", tmp_path / "loop"))
    assert rows[0][1] == b"1"
    assert "symbolic links" in rows[1][1].message


@pytest.mark.parametrize(
    "name",
    [
        "a\0b",
        "x" * 5000,
        "nope://x",
        "http://[::1",
        "a" * 300 + "/b",
        "\u2028",
        "C:\\x",
        "~",
        "%2e",
    ],
)
def test_invalid_file_names_are_row_errors_of_bounded_length(listed, stored, name):
    good = stored("good", b"1")
    rows, _ = read(listed(name, good))
    assert rows[0][0] == name
    assert rows[0][1].code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.UNAVAILABLE)
    assert len(rows[0][1].message) < 1100
    assert rows[1] == (good, b"1")


def test_a_line_of_megabytes_is_a_row_error_and_shown_without_its_text(listed, stored):
    good = stored("good", b"1")
    long = "x" * (file_lists.LONGEST_NAME + 1)
    rows, offsets = read(listed(long, good, long))
    assert rows[1] == (good, b"1")
    assert offsets[:2] == [0, len(long) + 1]
    assert rows[0] == rows[2]
    assert rows[0][0] == ""
    assert rows[0][1].message.startswith("the line is longer than 65536 bytes")
