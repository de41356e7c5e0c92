"""The manifest of a run: published files, inputs, software and settings.

It is the file `manifest.json` beside the outputs, written before the job resource gets the state
SUCCEEDED. Its `digest` is the digest of all other fields.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from beam_batch_predict import files
from beam_batch_predict.runs.plan_file import RunPlan, digest_of_files
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup
from beam_batch_predict.sinks.naming import MANIFEST
from beam_batch_predict.sinks.parts.part import Part
from beam_batch_predict.sinks.publish.files import PublishedFile

__all__ = ["manifest_of", "read_manifest", "write_manifest"]

FORMAT = 1

MOST_INPUTS = 10_000
"""The maximum number of listed inputs; the digest covers all of them."""


def manifest_of(
    parts: Sequence[Part],
    published: Sequence[PublishedFile],
    groups: Sequence[ErrorGroup],
    run: str,
    plan: RunPlan | None,
    job: bytes = b"",
    keys: Mapping[str, int | None] | None = None,
) -> dict[str, Any]:
    """Make the manifest of a run.

    Args:
        parts: the complete parts, in order.
        published: the published files or tables.
        groups: the failed rows, grouped by cause.
        run: the name of the run.
        plan: the plan of the run; None for a user's own pipeline.
        job: the final job resource; empty if there is no job.
        keys: the number of keys, and of those that occur more than once; None without keys.
    """
    locations = _locations(parts)
    rows = sum(part.rows for part in parts)
    failed = sum(part.failed for part in parts)
    return {
        "format": FORMAT,
        "run": run,
        **({"job": json.loads(job)} if job else {}),
        **(_of_plan(plan) if plan else {}),
        "rows": {"read": rows, "predicted": rows - failed, "failed": failed},
        **({"keys": dict(keys)} if keys else {}),
        "errors": [group.to_json() for group in groups],
        "unread": [failure.to_json() for part in parts for failure in part.source_failures],
        "files": [_file(each, locations) for each in published],
    }


def _locations(parts: Sequence[Part]) -> dict[int, Sequence[str]]:
    """Return the locations of the first and the last row of each chunk."""
    found: dict[int, list[str]] = defaultdict(list)
    for part in parts:
        found[part.chunk] += part.locations
    return {chunk: (*rows[:1], *rows[-1:]) for chunk, rows in found.items()}


def _of_plan(plan: RunPlan) -> dict[str, Any]:
    return {
        "settings": plan.settings,
        "versions": plan.versions,
        "model": {"digest": digest_of_files(plan.model), "files": _inputs(plan.model)},
        "inputs": {
            "count": len(plan.inputs),
            "bytes": sum(file.size for file in plan.inputs),
            "digest": digest_of_files(plan.inputs),
            "files": _inputs(plan.inputs[:MOST_INPUTS]),
            **_listing(plan),
        },
        "chunks": plan.chunks,
    }


def _listing(plan: RunPlan) -> dict[str, Any]:
    """Return the listing without the schema of a table, which is not text."""
    session = plan.listing.get("session")
    if not session:
        return dict(plan.listing)
    shown = {name: value for name, value in session.items() if name != "schema"}
    return {**plan.listing, "session": shown}


def _inputs(found: Sequence[files.File]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in file._asdict().items() if name != "is_gzip" or value}
        for file in found
    ]


def _file(published: PublishedFile, locations: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    if published.uri.startswith("bq://"):
        return {"table": published.uri, "rows": published.rows}
    made: dict[str, Any] = {
        "name": os.path.basename(published.uri),
        "rows": published.rows,
        "bytes": published.size,
        "sha256": published.sha256,
    }
    if published.chunk >= 0:
        made["chunk"] = {"number": published.chunk, "rows": list(locations[published.chunk])}
    return made


def write_manifest(manifest: Mapping[str, Any], directory: str) -> None:
    """Write a manifest, with its digest."""
    text = json.dumps({**manifest, "digest": _digest(manifest)}, indent=1, ensure_ascii=False)
    # Bytes of a file name that are not valid UTF-8 are written as JSON escapes.
    content = text.encode("utf-8", "backslashreplace") + b"\n"
    files.write_file(files.join(directory, MANIFEST), content)


def read_manifest(directory: str) -> dict[str, Any]:
    """Read the manifest of a directory.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its content is not what the run wrote.
    """
    text = files.read_file(files.join(directory, MANIFEST))
    try:
        manifest = json.loads(text)
        digest = manifest.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} is damaged: {error}") from error
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{MANIFEST} was written by another release")
    if digest != _digest(manifest):
        raise ValueError(f"{MANIFEST} was changed: its digest does not match")
    found: dict[str, Any] = manifest
    return found


def _digest(manifest: Mapping[str, Any]) -> str:
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
