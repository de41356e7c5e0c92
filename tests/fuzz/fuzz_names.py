"""Names of outputs: one directory in the user's directory, for any name of a model."""

import datetime
import os.path

from beam_batch_predict.sinks.naming import output_directory, run_pattern, time_of_directory

SEEDS = [
    b"../../etc",
    b"..",
    b"a/b\\c\0d\ne\x1b[2J",
    "模型 é \u202e\u2028".encode() * 30,
    b"*?[a]" + b"x" * 300,
    b"",
]
TIME = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.timezone.utc)


def check(data: bytes) -> None:
    """Name a model with any text."""
    for name in (data.decode("utf-8", "replace"), data.decode("utf-8", "surrogateescape")):
        found = output_directory("/out", name, TIME)
        assert os.path.normpath(found) == found
        assert os.path.dirname(found) == "/out"
        assert len(os.path.basename(found).encode()) <= 200
        assert found.isprintable()
        assert time_of_directory(found) == TIME
        assert len(run_pattern(name)) <= 200
