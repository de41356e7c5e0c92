"""Standard output and standard error that control no terminal."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO, cast

from beam_batch_predict.messages import for_terminal

__all__ = ["escaping_output", "write_result"]


@contextlib.contextmanager
def escaping_output() -> Iterator[None]:
    """Escape control characters in all texts that this process prints and logs.

    Texts of files, of services and of other libraries can contain them. If nothing reads the
    output any more, as after `| head`, the rest is dropped.
    """
    out, error = _Escaping(sys.stdout), _Escaping(sys.stderr)
    with (
        contextlib.redirect_stdout(cast(TextIO, out)),
        contextlib.redirect_stderr(cast(TextIO, error)),
    ):
        try:
            yield
        finally:
            out.flush()
            error.flush()


class _Escaping:
    """A text stream whose texts are escaped; all else is that of the stream below it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _without_reader(self._stream):
            self._stream.write(for_terminal(text))
        return len(text)

    def flush(self) -> None:
        with _without_reader(self._stream):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def write_result(job: bytes, result: BinaryIO) -> None:
    """Write a job resource, which stays valid JSON, with escapes if it goes to a terminal.

    Args:
        job: the job resource as JSON text.
        result: a file with a descriptor.
    """
    if result.isatty():
        job = _escaped_json(job.decode()).encode()
    with _without_reader(result):
        result.write(job.rstrip() + b"\n")
        result.flush()


def _escaped_json(text: str) -> str:
    r"""Replace characters by escapes of JSON.

    Example:
        >>> _escaped_json('{"name": "\x9b\u202eé"}')
        '{"name": "\\u009b\\u202eé"}'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


@contextlib.contextmanager
def _without_reader(stream: BinaryIO | TextIO) -> Iterator[None]:
    """Drop this and all later output of a stream if nothing reads it."""
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
