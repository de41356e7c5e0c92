"""The number of worker processes of the local runner, found without Beam."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from itertools import islice

from beam_batch_predict.runners.names import LOCAL
from beam_batch_predict.spec import FileSource, Source
from beam_batch_predict.spec.chunk_sizes import default_chunk_bytes
from beam_batch_predict.spec.options import ModelCopies

__all__ = ["AUTO", "usable_cores", "workers_ahead", "workers_worth"]

AUTO = "auto"
"""The value of --direct_num_workers with which the size of the input decides."""

BYTES_PER_WORKER = 256 * 1024 * 1024
"""The input for which another worker is worth its start, with a small model."""

MOST_FILES = 10_000
"""The most files whose sizes are looked up before the run is planned."""

_COMPRESSED = (".gz", ".gzip", ".bz2", ".zst", ".zstd")


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_worth(size: int) -> int:
    """Return the number of workers that are worth their start.

    Args:
        size: the bytes of the input.

    Example:
        >>> workers_worth(1_000_000)
        1
    """
    return max(1, min(usable_cores(), size // BYTES_PER_WORKER))


def workers_ahead(flags: Sequence[str], copies: ModelCopies, source: Source) -> int:
    """Return the number of worker processes that can start before the run is planned.

    It is the number that the plan will have, as far as sizes of local files tell; otherwise 0.

    Args:
        flags: flags of Beam, each with its value in one piece.
        copies: the copies of the model.
        source: the input of the run.

    Example:
        >>> from beam_batch_predict.spec import JsonLines
        >>> workers_ahead(["--direct_num_workers=2"], ModelCopies.AUTO, JsonLines("gs://b/*"))
        0
    """
    pairs = (flag.partition("=") for flag in flags)
    given = {name.replace("-", "_"): value for name, _, value in pairs}
    wanted = given.get("__direct_num_workers", "1")
    mode = given.get("__direct_running_mode", "" if wanted == "1" else "multi_processing")
    is_local = given.get("__runner", "").lower() in LOCAL
    if not is_local or mode != "multi_processing" or copies is ModelCopies.MACHINE:
        return 0
    if not isinstance(source, FileSource) or any("://" in uri for uri in source.uris):
        return 0
    sizes = dict(islice(_sizes(source.uris), MOST_FILES))
    total = sum(sizes.values())
    if wanted == AUTO:
        workers = workers_worth(total)
        return 0 if workers == 1 else min(workers, _chunks(source, sizes, total))
    if not wanted.isdecimal():
        return 0
    return min(int(wanted) or os.cpu_count() or 1, _chunks(source, sizes, total))


def _sizes(patterns: Sequence[str]) -> Iterator[tuple[str, int]]:
    for pattern in patterns:
        for path in [pattern] if os.path.isfile(pattern) else glob.iglob(pattern, recursive=True):
            if os.path.isfile(path):
                yield os.path.abspath(path), os.path.getsize(path)


def _chunks(source: FileSource, sizes: dict[str, int], total: int) -> int:
    """Return a number of chunks that the plan has at least."""
    size = source.chunk_bytes or default_chunk_bytes(total)
    pieces = (
        1 if not source.splits_files or path.endswith(_COMPRESSED) else -(-bytes_ // size)
        for path, bytes_ in sizes.items()
        if bytes_
    )
    return min(sum(pieces), -(-total // size))
