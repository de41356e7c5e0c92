"""Local files that hold no data: refused before anything waits for them."""

import os
import socket

import pytest

from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import match
from beam_batch_predict.sources.file_checks import special_file_problem
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.spec.sources import JsonLines


@pytest.mark.parametrize("pattern", ["pipe", "p*", "[p]ipe"])
def test_a_job_whose_input_is_a_pipe_is_refused(tmp_path, pattern):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "paper").write_bytes(b"1\n")
    with pytest.raises(SourceError, match="pipe: it is a named pipe, not a file of data"):
        plan(JsonLines(str(tmp_path / pattern)), match)


@pytest.mark.parametrize("uri", ["/dev/zero", "/dev/z*", "/proc/self/mem", "/proc/self/environ"])
def test_a_job_whose_input_is_of_the_system_is_refused(uri):
    with pytest.raises(SourceError, match="not a file of data"):
        plan(JsonLines(uri), match)


def test_a_socket_is_no_file_of_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        assert special_file_problem("socket") == "it is a socket, not a file of data"


def test_files_links_and_what_is_not_there_may_be_files_of_data(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "loop").symlink_to("loop")
    names = ["empty", "link", "loop", "missing", "a\0b", "x" * 5000]
    assert not any(special_file_problem(str(tmp_path / name)) for name in names)
    assert not special_file_problem("gs://dev/zero")
