"""Part metadata: a file beside each part that says what it holds.

A record is written when the files of its part are whole, as `<name of the part>.part`.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from beam_batch_predict import files
from beam_batch_predict.sinks.columns.layout import Column
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup
from beam_batch_predict.sinks.formats.feature_types import FeatureKind
from beam_batch_predict.sinks.parts.part import NO_FILE, Part, PartFile, part_name
from beam_batch_predict.sinks.parts.sections import Section
from beam_batch_predict.status import Code, Status

__all__ = ["chunk_of_record", "forget_part", "read_parts", "sound_parts", "write_part_record"]

_logger = logging.getLogger(__name__)

READS_AT_ONCE = 32

_RECORD = re.compile(r"chunk-(\d+)-rows-\d+-\d+\.part")


def chunk_of_record(uri: str) -> int | None:
    """The chunk of a part whose record has this name; None where it is no record.

    Example:
        >>> chunk_of_record("out/_parts/run/chunk-000007-rows-0-150.part")
        7
    """
    match = _RECORD.fullmatch(uri.rpartition("/")[2])
    return int(match[1]) if match else None


def write_part_record(part: Part, directory: str) -> None:
    """Write the record of a part whose files are there, if it is one of a plan."""
    if part.chunk < 0:
        return
    files.write_file(_record_of(part, directory), json.dumps(_to_json(part)).encode())


def forget_part(part: Part, directory: str) -> None:
    """Remove the record of a part that is to be done again."""
    files.delete([_record_of(part, directory)])


def _record_of(part: Part, directory: str) -> str:
    name = part_name(part.chunk, part.first_row, part.first_row + part.rows)
    return files.join(directory, f"{name}.part")


def read_parts(directory: str, besides: Iterable[int] = ()) -> list[Part]:
    """The parts that have a record.

    Args:
        directory: of the parts.
        besides: chunks of which nobody needs to know.
    """
    known = set(besides)
    uris = [
        file.uri
        for file in files.match_in(directory, "chunk-*.part")
        if chunk_of_record(file.uri) not in known
    ]

    def read(uri: str) -> Part:
        return _from_json(json.loads(files.read_file(uri)), directory)

    with ThreadPoolExecutor(READS_AT_ONCE, "part-records") as pool:
        return list(pool.map(read, uris))


def sound_parts(directory: str) -> list[Part]:
    """The parts whose files are there and what they were when they were written.

    The records of the others are removed.

    Files on this machine are read, for a machine that stopped may have lost what it wrote last.
    """
    sizes = {file.uri: file.size for file in files.match_in(directory, "chunk-*")}
    sound = []
    for part in read_parts(directory):
        damaged = [
            file.uri
            for file in (part.predictions, part.errors)
            if file.uri and not (sizes.get(file.uri) == file.size and _has_digest(file))
        ]
        if damaged:
            _logger.warning("%s is not what was written; its chunk is done again", damaged[0])
            forget_part(part, directory)
        else:
            sound.append(part)
    return sound


def _has_digest(file: PartFile) -> bool:
    return not files.is_local(file.uri) or files.digest(file.uri) == (file.size, file.sha256)


def _to_json(part: Part) -> dict[str, Any]:
    return {
        **part._asdict(),
        "predictions": _file_to_json(part.predictions),
        "errors": _file_to_json(part.errors),
        "source_failures": [status.to_json() for status in part.source_failures],
        "prediction_sections": list(map(_section_to_json, part.prediction_sections)),
        "error_sections": list(map(_section_to_json, part.error_sections)),
        "error_groups": [group.to_json() for group in part.error_groups],
    }


def _from_json(record: Mapping[str, Any], directory: str) -> Part:
    return Part(
        **{
            **record,
            "predictions": _file_from_json(record["predictions"], directory),
            "errors": _file_from_json(record["errors"], directory),
            "source_failures": tuple(
                Status(Code(status["code"]), status["message"])
                for status in record["source_failures"]
            ),
            "prediction_sections": tuple(map(_section_from_json, record["prediction_sections"])),
            "error_sections": tuple(map(_section_from_json, record["error_sections"])),
            "error_groups": tuple(map(ErrorGroup.from_json, record["error_groups"])),
            "places": tuple(record["places"]),
        }
    )


def _file_to_json(file: PartFile) -> dict[str, Any] | None:
    """A file by its name alone: directories may be moved."""
    return {**file._asdict(), "uri": file.uri.rpartition("/")[2]} if file.uri else None


def _file_from_json(record: Mapping[str, Any] | None, directory: str) -> PartFile:
    if record is None:
        return NO_FILE
    return PartFile(**{**record, "uri": files.join(directory, os.path.basename(record["uri"]))})


def _section_to_json(section: Section) -> dict[str, Any]:
    columns = [[c.role, c.name, _type_to_json(c.type)] for c in section.layout]
    return {"columns": columns, "size": section.size}


def _section_from_json(record: Mapping[str, Any]) -> Section:
    columns = (Column(role, name, _type_from_json(of)) for role, name, of in record["columns"])
    return Section(tuple(columns), record["size"])


def _type_to_json(of: Any) -> Any:
    if of is None:
        return None
    if isinstance(of, FeatureKind):
        return list(of)
    return base64.b64encode(pa.schema([("", of)]).serialize()).decode()


def _type_from_json(record: Any) -> Any:
    if record is None:
        return None
    if isinstance(record, list):
        return FeatureKind(*record)
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(record))).field(0).type
