"""Cost of the steps that a single process does for a whole job: planning and publishing.

    python -m benchmarks.scale plan --files 1000000         # many files
    python -m benchmarks.scale plan --files 1 --bytes 10TB  # one large file
    python -m benchmarks.scale publish --parts 10000        # on this machine's disk
    python -m benchmarks.scale publish --parts 10000 --cloud    # on the Cloud Storage emulator

Nothing is read or predicted, so inputs that do not exist can be measured. Each command is one
process. It prints a Markdown table of its steps, in order, with seconds and the peak memory so
far.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from benchmarks.emulators import BUCKET, storage_running
from benchmarks.measure import BenchmarkError

CHUNK_BYTES = 1 << 26
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
RECORD = b'{"instance":1.0,"prediction":2.0}\n' * 10

Result = TypeVar("Result")


class Steps:
    """The table of steps, with a line for each step that has ended."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        print("| step | s | peak MiB | requests | |\n| --- | --- | --- | --- | --- |")

    def step(self, name: str, work: Callable[[], Result], note: Callable[[Result], str]) -> Result:
        """Run a step and print its line."""
        self.requests.clear()
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        made = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.requests.items()))
        print(f"| {name} | {seconds:.1f} | {peak:.0f} | {made} | {note(result)} |", flush=True)
        return result

    def count_requests(self) -> None:
        """Count the HTTP requests from now on, by method."""
        from requests.adapters import HTTPAdapter

        send = HTTPAdapter.send

        def counted(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            kind = "batches" if "/batch/" in request.url else request.method
            self.requests[kind] += 1
            return send(adapter, request, *args, **kwargs)

        HTTPAdapter.send = counted  # type: ignore[assignment, method-assign]


def main(argv: list[str] | None = None) -> int:
    """Measure the steps that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="cut an input into chunks, write and read the plan")
    plan.add_argument("--files", type=int, default=1_000_000)
    plan.add_argument("--bytes", default="1MB", help="size of each file, as in 10TB. Default: 1MB.")
    publish = commands.add_parser("publish", help="give parts their final names")
    publish.add_argument("--parts", type=int, default=10_000)
    publish.add_argument("--cloud", action="store_true", help="on the Cloud Storage emulator")
    arguments = parser.parse_args(argv)
    if arguments.command == "plan":
        _plan(arguments.files, _bytes(arguments.bytes))
    else:
        with _cloud() if arguments.cloud else _disk() as directory:
            _publish(arguments.parts, directory)
    return 0


def _bytes(text: str) -> int:
    return int(text[:-2]) * UNITS[text[-2:]]


def _plan(count: int, size: int) -> None:
    from apache_beam.coders import FastPrimitivesCoder

    from beam_batch_predict.files import File
    from beam_batch_predict.runs.plan_file import RunPlan, read_plan, write_plan
    from beam_batch_predict.sources.planning import Listing, chunks_of_listing, list_source
    from beam_batch_predict.spec.sources import JsonLines

    made = Steps()
    name = "gs://some-bucket/some/longer/directory/part-{:07d}.jsonl"
    listed = made.step(
        "list the files",
        lambda: [File(name.format(number), size, 1.8e9) for number in range(count)],
        lambda found: f"{len(found):,} files, {count * size / 10**12:g} TB",
    )
    source = JsonLines("gs://some-bucket/some/longer/directory/*.jsonl", CHUNK_BYTES)
    listing = made.step(
        "remove duplicates", lambda: list_source(source, lambda _: listed), lambda _: ""
    )
    chunks = made.step(
        "cut into chunks",
        lambda: chunks_of_listing(source, listing),
        lambda cut: f"{len(cut):,} chunks",
    )
    with tempfile.TemporaryDirectory() as directory:
        plan = RunPlan({}, {}, (), len(chunks), listing.to_json(), listing.files)
        made.step(
            "write the plan",
            lambda: write_plan(plan, directory),
            lambda _: f"{sum(p.stat().st_size for p in Path(directory).iterdir()) / 10**6:.0f} MB",
        )

        def again() -> Any:
            kept = read_plan(directory)
            assert kept is not None
            return chunks_of_listing(source, Listing.from_json(kept.listing, kept.inputs))

        made.step(
            "read it and cut again", again, lambda found: "the same" if found == chunks else "OTHER"
        )
    coder = FastPrimitivesCoder()
    made.step(
        "encode the chunks for the shuffle",
        lambda: sum(len(coder.encode(chunk)) for chunk in chunks),
        lambda total: f"{total / 10**6:.0f} MB",
    )


@contextlib.contextmanager
def _disk() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield directory


@contextlib.contextmanager
def _cloud() -> Iterator[str]:
    with storage_running() as environment:
        os.environ.update(environment)
        importlib.import_module("emulators.content_ids")  # needed for batch requests
        _post("/storage/v1/b", json.dumps({"name": BUCKET}).encode(), "application/json")
        yield f"gs://{BUCKET}/scale"


def _publish(count: int, directory: str) -> None:
    from beam_batch_predict.runs.finish import finish_run
    from beam_batch_predict.runs.run import Run, fresh_time
    from beam_batch_predict.sinks.parts.metadata import read_parts
    from beam_batch_predict.sinks.publish.files import remove_parts
    from beam_batch_predict.spec import OutputSettings

    record = Run(directory, fresh_time())
    made = Steps()
    parts = made.step(
        "write parts", lambda: _leave(record, count), lambda left: f"{len(left):,} parts"
    )
    made.count_requests()
    made.step(
        "read the metadata of all parts (--resume)",
        lambda: read_parts(record.parts_directory),
        lambda found: "the same" if sorted(found) == sorted(parts) else "OTHER",
    )
    made.step(
        "check, publish, write the manifest",
        lambda: finish_run(parts, record, OutputSettings()),
        lambda found: f"{len(found):,} files",
    )
    made.step(
        "remove files that are no longer needed",
        lambda: remove_parts(record.parts_directory),
        lambda _: "",
    )


def _leave(record: Any, count: int) -> list[Any]:
    """Write small parts with their metadata, like workers do."""
    import hashlib

    from beam_batch_predict import files
    from beam_batch_predict.sinks.parts.metadata import _to_json
    from beam_batch_predict.sinks.parts.part import NO_FILE, Part, PartFile, part_name

    directory, digest = record.parts_directory, hashlib.sha256(RECORD).hexdigest()

    def part(number: int) -> Part:
        uri = files.join(directory, f"{part_name(number, 0, 10)}.predictions")
        written = PartFile(uri, len(RECORD), digest)
        first = f"gs://bucket/in.jsonl, byte {number}"
        ends = first, f"{first}9"
        return Part(number, count, 0, 10, True, written, NO_FILE, 0, (), 1.0, locations=ends)

    parts = list(map(part, range(count)))
    put = _put_remotely if directory.startswith("gs://") else _put_locally

    def leave(some: list[Part]) -> None:
        for one in some:
            name = one.predictions.uri.rpartition(".")[0]
            put(one.predictions.uri, RECORD)
            put(f"{name}.part", json.dumps(_to_json(one)).encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(leave, (parts[start::8] for start in range(8))))
    return parts


def _put_locally(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(content)


def _put_remotely(uri: str, content: bytes) -> None:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
    _post(path, content, "application/octet-stream")


def _post(path: str, content: bytes, kind: str) -> None:
    """Send a POST to the emulator, without the client whose cost is measured."""
    server = urlsplit(os.environ["STORAGE_EMULATOR_HOST"]).netloc
    with contextlib.closing(http.client.HTTPConnection(server)) as connection:
        connection.request("POST", path, content, {"Content-Type": kind})
        answer = connection.getresponse()
        if answer.status >= 300:
            raise BenchmarkError(f"{path}: {answer.status} {answer.read()!r}")


if __name__ == "__main__":
    sys.exit(main())
