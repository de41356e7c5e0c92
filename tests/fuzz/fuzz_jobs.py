"""Job files: a job, or a list of its mistakes that any terminal can show."""

import json
from pathlib import Path

from beam_batch_predict.errors import InvalidArgument, InvalidJob
from beam_batch_predict.jobs import BatchPredictionJob, read_job

JOB = {
    "displayName": "a",
    "labels": {"k": "v"},
    "unmanagedContainerModel": {"artifactUri": "m"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in"]}},
    "instanceConfig": {"keyField": "id", "includedFields": ["x"]},
    "modelParameters": {"t": [1, 0.5]},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out"},
    },
    "manualBatchTuningParameters": {"batchSize": "7"},
    "createTime": "2024-05-01T12:30:00Z",
    "state": "JOB_STATE_RUNNING",
}
FULL = json.dumps(JOB).encode()
EXAMPLE = Path(__file__).parents[2] / "examples" / "penguins" / "job.json"

SEEDS = [
    FULL,
    EXAMPLE.read_bytes(),
    b"\xef\xbb\xbf{}",
    b'{"a": NaN, "a": 1, "displayName": "\\ud800", "labels": {"\\u001b[2J": "\\u009b\\u202e"}}',
    b'{"manualBatchTuningParameters": {"batchSize": ' + b"9" * 5000 + b"}}",
    b'{"modelParameters": ' + b"[" * 200 + b"]" * 200 + b"}",
    FULL.replace(b'"7"', b"7.5").replace(b'"a"', b'"\\n\\u0000"'),
    FULL.replace(b"gcsSource", b"gcs_source").replace(b'"in"', b'"in", 5, null, ""'),
    FULL.replace(b'"v"', b'"' + b"V" * 300 + b'"').replace(b"jsonl", b"j" * 300),
]

MESSAGE_BYTES = 1000
"""The most characters of a message, for each mistake and for the rest."""


def check(data: bytes) -> None:
    """Read a job file."""
    try:
        job = read_job(data, "job.json")
    except InvalidJob as error:
        _check_message(str(error), len(error.violations))
        return
    text = job.to_json_bytes()
    assert BatchPredictionJob.parse(text).to_json_bytes() == text
    try:
        job.to_spec()
    except InvalidArgument as error:
        str(error).encode()


def _check_message(message: str, violations: int) -> None:
    message.encode()
    assert violations
    shown = message.replace("\n", "")
    assert shown.isprintable(), ascii(shown)
    assert len(message) < MESSAGE_BYTES * (violations + 1)
