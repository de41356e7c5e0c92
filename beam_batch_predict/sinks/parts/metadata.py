"""Part metadata: a file next to each part that describes the part.

`<name of the part>.part` is written when the files of the part are whole. Then the part is done.
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

__all__ = [
    "chunk_of_metadata",
    "remove_part_metadata",
    "read_parts",
    "intact_parts",
    "write_part_metadata",
]

_logger = logging.getLogger(__name__)

READS_AT_ONCE = 32

_METADATA = re.compile(r"chunk-(\d+)-rows-\d+-\d+(?:-of[-\d]+)?\.part")


def chunk_of_metadata(uri: str) -> int | None:
    """Return the chunk of the part whose metadata file has this name.

    The result is None for another name.

    Example:
        >>> chunk_of_metadata("out/_parts/run/chunk-000007-rows-0-150.part")
        7
    """
    match = _METADATA.fullmatch(uri.rpartition("/")[2])
    return int(match[1]) if match else None


def write_part_metadata(part: Part, directory: str) -> None:
    """Write the metadata of a part whose files are whole, if its chunk belongs to a plan."""
    if part.chunk < 0:
        return
    files.write_file(_metadata_uri(part, directory), json.dumps(_to_json(part)).encode())


def remove_part_metadata(part: Part, directory: str) -> None:
    """Remove the metadata of a part whose chunk is to be processed again."""
    files.delete([_metadata_uri(part, directory)])


def _metadata_uri(part: Part, directory: str) -> str:
    name = part_name(part.chunk, part.first_row, part.first_row + part.rows, part.lineage)
    return files.join(directory, f"{name}.part")


def read_parts(directory: str, without: Iterable[int] = ()) -> list[Part]:
    """Return the parts that have metadata.

    Args:
        directory: the directory of the parts.
        without: the chunks to leave out.
    """
    left_out = set(without)
    uris = [
        file.uri
        for file in files.match_in(directory, "chunk-*.part")
        if chunk_of_metadata(file.uri) not in left_out
    ]

    def read(uri: str) -> Part:
        return _from_json(json.loads(files.read_file(uri)), directory)

    with ThreadPoolExecutor(READS_AT_ONCE, "part-metadata") as pool:
        return list(pool.map(read, uris))


def intact_parts(directory: str) -> list[Part]:
    """Return the parts whose files exist and have not changed; remove the metadata of the others.

    Local files are read to check this: a machine that crashed may have lost its last writes.
    """
    sizes = {file.uri: file.size for file in files.match_in(directory, "chunk-*")}
    intact = []
    for part in read_parts(directory):
        damaged = [
            file.uri
            for file in (part.predictions, part.errors, part.key_hashes)
            if file.uri and not (sizes.get(file.uri) == file.size and _has_digest(file))
        ]
        if damaged:
            _logger.warning("%s is damaged or gone; its chunk is processed again", damaged[0])
            remove_part_metadata(part, directory)
        else:
            intact.append(part)
    return intact


def _has_digest(file: PartFile) -> bool:
    return not files.is_local(file.uri) or files.digest(file.uri) == (file.size, file.sha256)


def _to_json(part: Part) -> dict[str, Any]:
    return {
        **part._asdict(),
        "predictions": _file_to_json(part.predictions),
        "errors": _file_to_json(part.errors),
        "key_hashes": _file_to_json(part.key_hashes),
        "source_failures": [
            {**status.to_json(), "cause": status.cause, "uri": status.uri}
            for status in part.source_failures
        ],
        "prediction_sections": list(map(_section_to_json, part.prediction_sections)),
        "error_sections": list(map(_section_to_json, part.error_sections)),
        "error_groups": [group.to_json() for group in part.error_groups],
    }


def _from_json(value: Mapping[str, Any], directory: str) -> Part:
    return Part(
        **{
            **value,
            "predictions": _file_from_json(value["predictions"], directory),
            "errors": _file_from_json(value["errors"], directory),
            "key_hashes": _file_from_json(value["key_hashes"], directory),
            "source_failures": tuple(
                Status(**{**status, "code": Code(status["code"])})
                for status in value["source_failures"]
            ),
            "prediction_sections": tuple(map(_section_from_json, value["prediction_sections"])),
            "error_sections": tuple(map(_section_from_json, value["error_sections"])),
            "error_groups": tuple(map(ErrorGroup.from_json, value["error_groups"])),
            "locations": tuple(value["locations"]),
            "lineage": tuple(value.get("lineage", ())),
        }
    )


def _file_to_json(file: PartFile) -> dict[str, Any] | None:
    """Convert a file to JSON, without the directory, because that may be moved."""
    return {**file._asdict(), "uri": file.uri.rpartition("/")[2]} if file.uri else None


def _file_from_json(value: Mapping[str, Any] | None, directory: str) -> PartFile:
    if value is None:
        return NO_FILE
    return PartFile(**{**value, "uri": files.join(directory, os.path.basename(value["uri"]))})


def _section_to_json(section: Section) -> dict[str, Any]:
    columns = [[c.role, c.name, _type_to_json(c.type)] for c in section.layout]
    return {"columns": columns, "size": section.size}


def _section_from_json(value: Mapping[str, Any]) -> Section:
    columns = (Column(role, name, _type_from_json(of)) for role, name, of in value["columns"])
    return Section(tuple(columns), value["size"])


def _type_to_json(of: Any) -> Any:
    if of is None:
        return None
    if isinstance(of, FeatureKind):
        return list(of)
    return base64.b64encode(pa.schema([("", of)]).serialize()).decode()


def _type_from_json(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return FeatureKind(*value)
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(value))).field(0).type
