"""The digested jobs: all sources into all destinations, and other settings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.digesting.tables import WIDE_AVRO, wide_columns

__all__ = ["DATASET", "Job", "all_jobs"]

DATASET = "digests"
"""The dataset of all tables, in the project of the emulator."""

FILES = ("jsonl", "csv", "parquet", "tf-record")
DESTINATIONS = (*FILES, "bigquery")
RECORDS = ("tf-record", "tf-record-gzip")
TABLES = ("csv", "parquet", "avro", "bigquery")

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "key": {"keyField": "id"},
    "included": {"includedFields": ["y", "x"]},
    "excluded": {"excludedFields": ["id"]},
    "object": {"instanceType": "object", "keyField": "id", "excludedFields": ["y"]},
    "array": {"instanceType": "array", "includedFields": ["y", "x"]},
}

CHUNK_BYTES = {
    **{"jsonl": 1500, "jsonl-arrays": 500, "csv": 800, "tf-record": 2000, "tf-record-gzip": 900},
    **{"file-list": 300, "parquet": 1500, "avro": 700, "bigquery": 800, "ai": 1500},
}
"""Sizes for about ten chunks; two for jobs to tables, as a chunk costs two load jobs."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A job with its flags.

    Attributes:
        name: the name of the job and of its digests.
        source: the directory of its input under `in`, or `bigquery` or `bigquery-wide`.
        body: its job resource, without the destination.
        flags: the flags of the command line.
        runs: more flags for each of its runs; the output of the last run is digested.
    """

    name: str
    source: str
    body: Mapping[str, Any]
    flags: tuple[str, ...] = ()
    runs: tuple[tuple[str, ...], ...] = ((),)

    @property
    def has_tables(self) -> bool:
        """Whether the job needs BigQuery."""
        return "bigquery" in self.name

    @property
    def model(self) -> str:
        """The name of the model, which is the name of its signature."""
        if self.is_ai_platform:
            uri: str = self.body["predictionInput"]["uri"]
        else:
            uri = self.body["unmanagedContainerModel"]["artifactUri"]
        return uri.rpartition("/")[2]

    @property
    def is_ai_platform(self) -> bool:
        """Whether the job is one of AI Platform."""
        return "predictionInput" in self.body

    def described(self, output: str, project: str) -> dict[str, Any]:
        """Return the whole resource for a run whose output has this name."""
        if self.is_ai_platform:
            asked = {**self.body["predictionInput"], "outputPath": f"out/{output}"}
            return {**self.body, "predictionInput": asked}
        form = self.body["outputConfig"]["predictionsFormat"]
        target: dict[str, Any] = {"gcsDestination": {"outputUriPrefix": f"out/{output}"}}
        if form == "bigquery":
            target = {"bigqueryDestination": {"outputUri": f"bq://{project}.{DATASET}.{output}"}}
        source = {"gcsSource": {"uris": [f"in/{self.source}/[0-9]*"]}}
        if self.source.startswith("bigquery"):
            table = f"bq://{project}.{DATASET}.{self.source.replace('-', '_')}"
            source = {"bigquerySource": {"inputUri": table}}
        return {
            **self.body,
            "inputConfig": {**self.body["inputConfig"], **source},
            "outputConfig": {"predictionsFormat": form, **target},
        }


def all_jobs() -> list[Job]:
    """Return all jobs, grouped by source."""
    made = [*_pairs(), *_wide(), *_settings(), *_ai_platform(), *_refused()]
    if len({job.name for job in made}) != len(made):
        raise ValueError("two jobs have one name")
    return made


def _vertex(
    name: str,
    source: str,
    destination: str,
    config: Mapping[str, Any],
    signature: str,
    *flags: str,
    model: str = "",
    runs: tuple[tuple[str, ...], ...] = (("--max_failed_fraction=1",),),
) -> Job:
    form = source.removesuffix("-wide").removesuffix("-arrays").removesuffix("-multiline")
    body = {
        "displayName": "digests",
        "unmanagedContainerModel": {"artifactUri": f"models/{model or signature}"},
        "inputConfig": {"instancesFormat": form},
        "instanceConfig": config,
        "outputConfig": {"predictionsFormat": destination},
        "manualBatchTuningParameters": {"batchSize": 16},
    }
    size = CHUNK_BYTES.get(source, CHUNK_BYTES[form]) * (5 if destination == "bigquery" else 1)
    given = (f"--chunk_bytes={size}", *flags)
    return Job(name, source, body, (f"--signature_name={signature}", *given), runs)


def signature_of(source: str, config: str) -> str:
    """Return the signature that accepts the instances of a job."""
    if source == "file-list":
        return "text"
    if source in RECORDS:
        return "example_x" if config == "object" else "example"
    if source == "jsonl-arrays":
        return "pair"
    if config in ("none", "object"):
        return {"none": "id_x_y", "object": "x"}[config]
    return "pair" if source in TABLES or config == "array" else "x_y"


def _configs(source: str, destination: str) -> Iterator[str]:
    if source in ("file-list", "jsonl-arrays"):
        yield "none"
        return
    for config in CONFIGS:
        if source in RECORDS and config in ("object", "array"):
            continue
        # JSON lines show the conversion to objects and arrays; loading tables takes longest.
        few = {"jsonl": CONFIGS, "bigquery": ("key", "excluded")}
        if config in few.get(destination, ("none", "key", "excluded")):
            yield config


def _pairs() -> Iterator[Job]:
    """Combine every source with every destination and each valid instanceConfig."""
    sources = ("jsonl", "jsonl-arrays", *TABLES, *RECORDS, "file-list")
    for source, destination in itertools.product(sources, DESTINATIONS):
        for config in _configs(source, destination):
            name = f"{source} to {destination}, {config}"
            signature = signature_of(source, config)
            yield _vertex(name, source, destination, CONFIGS[config], signature)
            if source in ("parquet", "avro") and config == "excluded" and destination in FILES:
                # Columns by name, for a signature with several inputs and outputs.
                named = {**CONFIGS[config], "instanceType": "object"}
                yield _vertex(f"{name}, objects", source, destination, named, "x_y")


WIDE = {
    "jsonl-wide": [
        *("id", "text", "whole", "fraction", "flag", "nothing", "some", "list", "nested", "object"),
        *("objects", "bytes", "empty", "none", "late", "Text", "1 name!"),
    ],
    "csv-wide": ["id", "note", "number", "mixed", "empty", "date"],
    "tf-record-wide": ["id", "n", "f", "t", "late"],
    "bigquery-wide": ["i", "b", "s", "by", "n", "ts", "dt", "d", "t", "arr", "st"],
}
"""Fields that are not sent and are in the output; for Parquet and Avro, all except `x`."""


def _wide() -> Iterator[Job]:
    """Make jobs with columns of many types, next to the prediction and as keys."""
    columns = {
        **WIDE,
        "parquet-wide": [name for name in wide_columns() if name != "x"],
        "avro-wide": [name.replace("-", "_") for name in WIDE_AVRO if name != "x"],
    }
    for source, destination in itertools.product(columns, DESTINATIONS):
        signature = "example_x" if source == "tf-record-wide" else "x"
        config: dict[str, Any] = {"excludedFields": columns[source]}
        if source != "tf-record-wide":
            config["instanceType"] = "object"
        name = f"{source} to {destination}"
        yield _vertex(name, source, destination, config, signature)
        if source in ("jsonl-wide", "parquet-wide", "avro-wide") and destination in FILES:
            kept = {"instanceType": "object", "includedFields": ["x"]}
            for key in ("whole", "text") if source == "jsonl-wide" else ("text",):
                keyed = {**kept, "keyField": key}
                yield _vertex(f"{name}, key {key}", source, destination, keyed, "x")


def _settings() -> Iterator[Job]:
    """Make jobs with options of the command line that change the output."""
    for destination, value in itertools.product(FILES, ("null", "error")):
        name = f"jsonl to {destination}, not finite {value}"
        config = CONFIGS["excluded"]
        yield _vertex(name, "jsonl", destination, config, "x_y", f"--non_finite={value}")
    for source in ("jsonl", "csv", *RECORDS):
        name = f"{source} to jsonl, three readers for a file"
        signature = signature_of(source, "key")
        yield _vertex(name, source, "jsonl", CONFIGS["key"], signature, "--readers_per_file=3")
    for source in ("jsonl", "csv", "tf-record", "file-list", "avro"):
        config = "none" if source == "file-list" else "key"
        name = f"{source} to jsonl, small instances only"
        signature = signature_of(source, config)
        limit = "--max_instance_bytes=30"
        yield _vertex(name, source, "jsonl", CONFIGS[config], signature, limit)
    name = "csv-multiline to csv"
    yield _vertex(name, "csv-multiline", "csv", {}, "id_x_y", "--csv_multiline=true")
    name = "csv-multiline to csv, without the option"
    yield _vertex(name, "csv-multiline", "csv", {}, "id_x_y")
    for destination in FILES:
        name = f"jsonl to {destination}, too many failed"
        few = ("--max_failed_fraction=0.01", "--max_failed_min_rows=10")
        yield _vertex(name, "jsonl", destination, {}, "id_x_y", runs=(few,))
        name = f"jsonl to {destination}, too many failed, then resumed"
        more = ("--max_failed_fraction=1", "--resume=true")
        yield _vertex(name, "jsonl", destination, {}, "id_x_y", runs=(few, more))
        name = f"jsonl to {destination}, place as key"
        yield _vertex(name, "jsonl", destination, {}, "id_x_y", _location_key())
        name = f"jsonl to {destination}, a signature for other rows"
        yield _vertex(name, "jsonl", destination, {}, "pair")


def _location_key() -> str:
    """Return the flag for locations as keys, by the name in the package under test."""
    from beam_batch_predict import InstanceConfig

    return f"--key={'location' if hasattr(InstanceConfig, 'location_as_key') else 'place'}"


def _ai_platform() -> Iterator[Job]:
    """Combine every data format, output and key of AI Platform, parsed and as raw strings."""
    forms = {"JSON": "lines", "TEXT": "lines", "TF_RECORD": "records", "TF_RECORD_GZIP": "zipped"}
    keys = {"none": (), "field": ("--key=field:id",), "place": (_location_key(),)}
    calls = ("x_y", "text")
    for form, output, key, call in itertools.product(forms, ("JSON", "CSV"), keys, calls):
        rows = "plain" if call == "x_y" and key != "field" else "keyed"
        asked = {
            "dataFormat": form,
            "outputDataFormat": output,
            "inputPaths": [f"in/ai/{rows}/{forms[form]}-*"],
            "uri": f"models/{call}",
            "signatureName": call,
            "batchSize": "16",
            "region": "us-central1",
        }
        flags = (f"--chunk_bytes={CHUNK_BYTES['ai']}", "--max_failed_fraction=1", *keys[key])
        name = f"ai {form} to {output}, key {key}, {call}"
        yield Job(name, "ai", {"jobId": "digests", "predictionInput": asked}, flags)


def _refused() -> Iterator[Job]:
    """Make jobs that are refused; their exit codes are compared."""
    yield _vertex("refused, no such signature", "jsonl", "jsonl", {}, "nothing", model="x_y")
    yield _vertex("refused, no such column", "csv", "jsonl", {"keyField": "nothing"}, "pair")
    config = {"keyField": "id", "instanceType": "array"}
    yield _vertex("refused, key of arrays", "jsonl", "jsonl", config, "pair")
    yield _vertex("refused, key of listed files", "file-list", "csv", {"keyField": "id"}, "text")
    job = _vertex("refused, an unknown field", "jsonl", "jsonl", {}, "x_y")
    yield dataclasses.replace(job, body={**job.body, "colour": "red"})
