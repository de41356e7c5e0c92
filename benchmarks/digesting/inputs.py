"""The inputs of the digested jobs; every call writes the same bytes.

Under the working directory, `in/FORMAT` has several files with rows of `id`, `x`, `y`: some rows
fail, some files are compressed or damaged. `in/FORMAT-wide` has rows with columns of many types.
"""

from __future__ import annotations

import bz2
import gzip
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.digesting import tables, wide
from benchmarks.digesting.model import FAILING

__all__ = ["ROWS", "write_inputs"]

NAMES = ("plain", "a,b", 'quoted "one"', "é", "=1+1", "two\nlines", " blanks ", "😀")
NUMBERS = (0.1, -3.25, 1e-7, -0.0, 1e22, 2.0, 1 / 3, 16777217.0, 100.0, 5e-324)

ROWS: tuple[Mapping[str, Any], ...] = tuple(
    {
        "id": f"{NAMES[at % len(NAMES)] if at % 5 == 0 else 'k'}{at}",
        "x": FAILING if at in (17, 41) else NUMBERS[at % len(NUMBERS)] * (1 + at // 10),
        "y": (-1) ** at * at * 1001,
    }
    for at in range(60)
)
"""Valid rows; the model fails on two of them."""

PIECES = (ROWS[:25], ROWS[25:26], ROWS[26:40], ROWS[40:48], ROWS[48:])
"""The rows of each file: plain, a single row, and three files that may be compressed."""


def write_inputs(only: Iterable[str] | None = None) -> None:
    """Write the inputs of these formats, or of all, under the working directory."""
    for form in WRITERS if only is None else only:
        directory = Path("in", form)
        directory.mkdir(parents=True)
        WRITERS[form](directory)


def compressed(suffix: str, content: bytes) -> bytes:
    """Compress content as the suffix requires."""
    if suffix == ".gz":
        return gzip.compress(content, mtime=0)
    if suffix == ".bz2":
        return bz2.compress(content)
    return pa.Codec("zstd").compress(content, asbytes=True) if suffix == ".zst" else content


SUFFIXES = ("", "", ".gz", ".bz2", ".zst")

BAD_LINES = (
    b'{"id": "text for a number", "x": "s", "y": 1}',
    b"not json",
    b"[1, 2]",
    b"7",
    b"null",
    b"",
    b'{"id": null, "x": 1, "y": 2}',
    b'{"x": 1, "y": 2}',
    b'{"id": "no x", "y": 2}',
    b'{"id": "x is null", "x": null, "y": 1}',
    b'{"id": "too large", "x": 1e999, "y": 1}',
    b'{"id": "out of range", "x": 1.5, "y": 99999999999}',
    b'{"id": "no whole number", "x": 1.5, "y": 1.0}',
    b'{"id": "\xff\xfe", "x": 1, "y": 2}',
    b'{"id": "twice", "x": 1, "y": 2, "x": 3.50}',
    b'{"id": "not finite", "x": NaN, "y": 2}',
    b'{"id": "infinite", "x": -Infinity, "y": 2}',
    b'{"id": 12345678901234567890123, "x": 1E2, "y": 7}',
    b'{"id": 8, "x": 1.50, "y": 7}\r',
    b'{"id": 2.5, "x": 0.30000000000000004, "y": -0}',
    b'{"id": true, "x": 1, "y": 2}',
    b'{"id": "\\u00e9\\ud83d\\ude00\\/", "x": 1, "y": 2}',
    b'{"id": "lone \\ud800", "x": 1, "y": 2}',
    b'{"id": "deep", "x": ' + 100 * b"[" + 100 * b"]" + b', "y": 2}',
    b'{"id": "more", "x": 1, "y": 2, "z": {"a": [1.0, 1e2]}, "error": 1, "prediction": "p", "": 0}',
    b'{"id": "open", "x": 1',
    b'{"id": "behind", "x": 1, "y": 2} {}',
    b'  {"y":3,"x":1,"id":"turned round"}  ',
    b'{"id": 1, "x": 2}\r{"id": 2, "x": 3}',
)


def json_line(row: Mapping[str, Any]) -> bytes:
    """Return the row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def write_lines(directory: Path, bad: Sequence[bytes] = BAD_LINES, ending: str = ".jsonl") -> None:
    """Write JSON lines with bad lines, and files with a byte order mark, damaged and empty."""
    for at, (piece, suffix) in enumerate(zip(PIECES, SUFFIXES, strict=True)):
        content = compressed(suffix, b"".join(map(json_line, piece)))
        (directory / f"{at}{ending}{suffix}").write_bytes(content)
    marked = b"\xef\xbb\xbf" + b"".join(map(json_line, ROWS[:3])).rstrip()
    (directory / f"5{ending}").write_bytes(marked)
    (directory / f"6{ending}").write_bytes(b"\n".join(bad))
    write_damaged(directory, ending, b"".join(map(json_line, ROWS)))


def write_damaged(directory: Path, ending: str, content: bytes) -> None:
    """Write compressed files: truncated, changed, not really compressed, and empty."""
    whole = compressed(".gz", content)
    (directory / f"7 cut{ending}.gz").write_bytes(whole[: len(whole) * 2 // 3])
    (directory / f"8 changed{ending}.gz").write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    (directory / f"8 cut{ending}.zst").write_bytes(compressed(".zst", content)[:-20])
    (directory / f"9 empty{ending}").write_bytes(b"")
    (directory / f"9 plain{ending}.gz").write_bytes(content)


def write_arrays(directory: Path) -> None:
    """Write lines that are arrays; some are objects, or too short."""
    lines = [json_line([row["x"], row["y"]]) for row in ROWS]  # type: ignore[arg-type]
    (directory / "0.jsonl").write_bytes(b"".join(lines[:31]))
    (directory / "1.jsonl").write_bytes(b'[1]\n{"x": 1, "y": 2}\n[1, "s"]\n' + b"".join(lines[31:]))


BAD_CELLS = b"""\
"too few",1
"too many",1,2,3
"text",abc,2
"too large",1e999,2
"empty",,2
"range",1,99999999999
"float",1,2.0
"nan",NaN,2
"inf",-Infinity,2
6" pipe,1,2
,1,2
unquoted text ,+5,007
  "blanks around"  ,.5,1.
"\xff",1,2
"open,1,2
"cr\rinside",1,2
"behind"x,1,2
7,1.5,2
id,x,y
"""


def csv_cells(row: Mapping[str, Any]) -> bytes:
    """Return the row as a line of CSV, with spaces for line breaks in cells."""
    name = row["id"].replace('"', '""').replace("\n", " ")
    return f'"{name}",{row["x"]!r},{row["y"]}\n'.encode()


def write_csv(directory: Path) -> None:
    """Write CSV files: no header, CRLF, compressed, with bad rows, damaged."""
    header = b"id,x,y\n"
    for at, (piece, suffix) in enumerate(zip(PIECES, SUFFIXES, strict=True)):
        content = b"".join([header if at != 3 else b"", *map(csv_cells, piece)])
        (directory / f"{at}.csv{suffix}").write_bytes(compressed(suffix, content))
    bad = header + BAD_CELLS + b"".join(map(csv_cells, ROWS[:3])).replace(b"\n", b"\r\n")
    (directory / "5.csv").write_bytes(bad)
    write_damaged(directory, ".csv", header + b"".join(map(csv_cells, ROWS)))


def write_multiline(directory: Path) -> None:
    """Write a CSV file whose cells have line breaks."""
    lines = [f'"{row["id"]}\nand\r\nmore",{row["x"]!r},{row["y"]}\n' for row in ROWS]
    for at, piece in enumerate((lines[:40], lines[40:])):
        (directory / f"{at}.csv").write_bytes("".join(["id,x,y\n", *piece]).encode())


def feature(value: Any) -> Any:
    """Make a feature with the values."""
    import tensorflow as tf

    values = value if isinstance(value, list) else [value]
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    texts = [each if isinstance(each, bytes) else each.encode() for each in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def example(row: Mapping[str, Any]) -> bytes:
    """Return the row as an Example, always with the same bytes."""
    import tensorflow as tf

    features = tf.train.Features(feature={name: feature(row[name]) for name in row})
    made: bytes = tf.train.Example(features=features).SerializeToString(deterministic=True)
    return made


def framed(records: Iterable[bytes]) -> bytes:
    """Return the content of a TFRecord file."""
    import tensorflow as tf

    path = Path("in", "framed.tmp")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    content = path.read_bytes()
    path.unlink()
    return content


def bad_records() -> list[bytes]:
    """Return records that are not Examples, or lack a required feature."""
    rows: list[dict[str, Any]] = [
        {"x": 1.5, "y": 2},
        {"id": "no x", "y": 2},
        {"id": ["two", "ids"], "x": 1.5},
        {"id": [], "x": 1.5, "y": 2},
        {"id": b"\xff", "x": 1.5},
        {"id": 7, "x": 1.5, "y": 2},
        {"id": 0.1, "x": 1.5, "y": 2},
        {"id": "two", "x": [1.5, 2.5], "y": 2},
        {"id": "kind", "x": "text", "y": 2},
    ]
    return [b"no Example", b"", *map(example, rows)]


def write_records(directory: Path, *, zipped: bool = False) -> None:
    """Write TFRecord files with bad records, wrong checksums or lengths; some are truncated."""

    def put(name: str, content: bytes) -> None:
        is_zipped = zipped and not name.endswith((".gz", ".bz2"))
        (directory / name).write_bytes(compressed(".gz", content) if is_zipped else content)

    whole = framed(map(example, ROWS[:20]))
    for at, piece in enumerate(PIECES):
        put(f"{at}.tfrecord", framed(map(example, piece)))
    put("5.tfrecord.gz", compressed(".gz", framed(map(example, ROWS[:5]))))
    put("5.tfrecord.bz2", compressed(".bz2", framed(map(example, ROWS[:5]))))
    put("6 bad.tfrecord", framed(bad_records()))
    (length,) = struct.unpack("<Q", whole[:8])
    put("7 checksum.tfrecord", whole[: 12 + length] + b"\0\0\0\0" + whole[16 + length :])
    put("7 cut.tfrecord", whole[:-7])
    put("7 length.tfrecord", whole[: 16 + length] + b"\7" + whole[17 + length :])
    put("8 empty.tfrecord", b"")
    cut = compressed(".gz", whole)
    (directory / "9 cut.tfrecord.gz").write_bytes(cut[: len(cut) * 2 // 3])
    (directory / "9 text.tfrecord").write_bytes(b"this is no TFRecord file\n" * 4)


def write_list(directory: Path) -> None:
    """Write lists of files, some of which do not exist; one list is compressed."""
    content = directory / "content"
    content.mkdir()
    paths = [content / f"{at}, ü.bin" for at in range(20)]
    for at, path in enumerate(paths):
        path.write_bytes(bytes([at, 255]) * at)
    (content / "zipped.gz").write_bytes(compressed(".gz", b"as it is"))
    lines = [f"{path}\n" for path in paths]
    bad = [
        f'"{paths[0]}"\n',
        "\n",
        f"  {paths[1]}  \n",
        f"{content}/missing\n",
        f"{content}\n",
        "unknown://a/b\n",
        '""\n',
        f"{content}/*.bin\n",
        f"{paths[2]}\r\n",
        f"{content}/zipped.gz\n",
        f"{paths[3]}\r{paths[4]}\n",
    ]
    (directory / "0.txt").write_text("".join(lines))
    (directory / "1.txt").write_bytes("".join(bad).encode() + b"\xff\n")
    (directory / "2.txt.gz").write_bytes(compressed(".gz", "".join(lines[:5]).encode()))


def write_ai_platform(directory: Path) -> None:
    """Write JSON lines, also as TFRecords: with ids in `keyed`, without ids in `plain`."""
    plain = [line for line in BAD_LINES if b"lone" not in line]
    for name, rows, bad in (
        ("keyed", ROWS, list(BAD_LINES)),
        ("plain", [{"x": row["x"], "y": row["y"]} for row in ROWS], plain),
    ):
        lines = [json_line(row).rstrip() for row in rows]
        below = directory / name
        below.mkdir()
        for at, piece in enumerate((lines[:25], lines[25:], bad)):
            content = b"\n".join(piece)
            (below / f"lines-{at}").write_bytes(content)
            records = framed([*piece, example(rows[at])])
            (below / f"records-{at}").write_bytes(records)
            (below / f"zipped-{at}").write_bytes(compressed(".gz", records))
        (below / "lines-3.gz").write_bytes(compressed(".gz", b"\n".join(lines))[:-40])
        (below / "records-3").write_bytes(framed(lines)[:-9])
        (below / "zipped-3").write_bytes(compressed(".gz", framed(lines))[:-40])


def write_wide_lines(directory: Path) -> None:
    """Write lines whose fields have many types, and other types in later files."""
    for at, piece in enumerate(wide.PIECES):
        (directory / f"{at}.jsonl").write_bytes(b"".join(map(json_line, piece)))


def write_wide_csv(directory: Path) -> None:
    """Write cells of many types, and of other types in later files."""
    for at, piece in enumerate(wide.CSV_PIECES):
        (directory / f"{at}.csv").write_text(wide.CSV_HEADER + piece)


def write_wide_records(directory: Path) -> None:
    """Write features with several values, no value, bytes, and other types in later files."""
    for at, piece in enumerate(wide.EXAMPLE_PIECES):
        (directory / f"{at}.tfrecord").write_bytes(framed(map(example, piece)))


WRITERS: dict[str, Callable[[Path], None]] = {
    "jsonl": write_lines,
    "jsonl-arrays": write_arrays,
    "csv": write_csv,
    "csv-multiline": write_multiline,
    "tf-record": write_records,
    "tf-record-gzip": lambda directory: write_records(directory, zipped=True),
    "file-list": write_list,
    "parquet": lambda directory: tables.write_parquet(directory, PIECES),
    "avro": lambda directory: tables.write_avro(directory, PIECES),
    "ai": write_ai_platform,
    "jsonl-wide": write_wide_lines,
    "csv-wide": write_wide_csv,
    "tf-record-wide": write_wide_records,
    "parquet-wide": tables.write_wide_parquet,
    "avro-wide": tables.write_wide_avro,
}
