"""Lists of files: a row for each line, with any content."""

import io
from unittest.mock import patch

import orjson

from beam_batch_predict.batch import InstanceBatch, Span
from beam_batch_predict.instances.listed_files import convert_listed_files
from beam_batch_predict.sources.file_lists import read_listed_files
from beam_batch_predict.sources.lines import read_lines
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.status import Status
from fuzz.choices import Choices
from fuzz.rows import is_stored_text, opener

SEEDS = [
    b'\x09a.jpg\n"b ""c"".jpg"\r\n\n""\n../../etc/passwd\nfile:///x\n',
    b"\x00gs://\ngs://bucket\nnope://x\nhttp://[::1\n/dev/zero\n/proc/self/mem\n.\n~\n%2e%2e%00\n",
    b"\x20a\0b\n\xff\xfe\nC:\\x\n\xe2\x80\xa8\n\xef\xbb\xbfa\ra\n" + b"x" * 5000,
]


def check(data: bytes) -> None:
    """Read a list; the name of a file decides whether it is small, large, missing or broken."""
    choices = Choices(data)
    max_bytes = choices.number(1, 40)
    content = choices.rest
    if not is_stored_text(content):
        return
    lines = [row for found in read_lines(Span("list"), opener(content)) for row in found.rows]

    def open_file(uri):
        if uri == "list":
            return io.BytesIO(content)
        uri.encode()
        failures = [None, FileNotFoundError(uri), ValueError(uri), OSError(5, uri), KeyError(uri)]
        failure = failures[len(uri) % len(failures)]
        if failure:
            raise failure
        return io.BytesIO(uri.encode())

    with patch("beam_batch_predict.sources.file_lists.BYTES_AT_ONCE", 16):
        rows = [
            row
            for found in read_listed_files(Span("list"), open_file, max_bytes)
            for row in found.rows
        ]
    assert len(rows) == len(lines)
    batch = convert_listed_files(InstanceBatch(rows, format="file-list"), InstanceConfig())
    for at, (uri, found) in enumerate(rows):
        assert orjson.loads(batch.texts[at]) == uri
        assert (at in batch.statuses) == isinstance(found, Status)
        if not isinstance(found, Status):
            assert found == uri.encode()
            assert len(found) <= max_bytes
