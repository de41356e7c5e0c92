"""Rows with columns of many types; only `x` is sent to the model."""

from __future__ import annotations

from typing import Any

__all__ = ["CSV_HEADER", "CSV_PIECES", "EXAMPLE_PIECES", "PIECES"]


def _row(at: int) -> dict[str, Any]:
    """Make a row; each column has the same type in all rows."""
    return {
        "id": f"w{at}",
        "x": at / 4,
        "text": f'é "{at}"\n',
        "whole": at * 10**15,
        "fraction": at / 3,
        "flag": at % 2 == 0,
        "nothing": None,
        "some": None if at % 3 else at,
        "list": list(range(at % 4)),
        "nested": [[at], [at, -1.5]],
        "object": {"b": at, "a": {"c": [f"t{at}"], "d": None}},
        "objects": [{"n": at}, {"n": at + 1}],
        "bytes": {"b64": "AP8="},
        "empty": {},
        "none": [],
        "1 name!": at,
        "Text": "another than text only by case",
    }


def _other(at: int) -> dict[str, Any]:
    """Make a row whose columns have other types than those of `_row`, or other fields."""
    return {
        **_row(at),
        "text": [7, 1.0, 1e300, True, {"a": 1.0, "b": None}, [1, 2.5], "t", None][at % 8],
        "whole": [9007199254740993, 2**63 - 1, 2**64, -(2**70), 1.5][at % 5],
        "fraction": [2**53, float("nan"), float("-inf"), 7, -0.0][at % 5],
        "flag": [True, 1, "true"][at % 3],
        "nothing": None,
        "some": [1.5, 10, None][at % 3],
        "list": [[1.5], ["s"], [1, "s"], [None], [[1]], "no list"][at % 6],
        "nested": [[[at]], [], [at], None][at % 4],
        "object": [{"a": {"e": at}}, {"b": "text"}, {"z": [{}]}, [1], None][at % 5],
        "objects": [[{"n": "text"}], [{"m": 1.5}], [None], []][at % 4],
        "bytes": [{"b64": ""}, {"b64": "AA=="}, "no bytes"][at % 3],
        "empty": [{}, {"a": 1}][at % 2],
        "none": [[], [1], [[]]][at % 3],
        "late": f"only here {at}",
    }


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """Reverse the order of the fields, and remove one field."""
    return {name: row[name] for name in reversed(row) if name != "text"}


PIECES = (
    [_row(at) for at in range(12)],
    [_turned(_row(at)) for at in range(3)],
    [_other(at) for at in range(24)],
    [{"id": "bad", "x": None, "text": "no x"}, {"x": 1.0}, {**_row(30), "x": "s"}],
)

CSV_HEADER = "id,x,note,number,mixed,empty,date\n"

CSV_PIECES = (
    "".join(
        f'"w{at}",{at / 4},"say ""{at}""",{at},{at},,2024-05-{at + 1:02}\n' for at in range(12)
    ),
    '"a",1.5,text,1.5,"s",,\n"b",2,,12345678901234567890,NaN,,\n"c",.5,"",1e300,+7,,x\n',
    '"d",s,1,2,3,,\n"e",1,2\n"f",,é,-1,inf,,\n"g",1,é,-1,inf,,\n',
)

EXAMPLE_PIECES = (
    [
        {"id": f"w{at}", "x": at / 4, "n": at, "f": [0.1, 1e-7 * at], "t": ["é", "b"][: at % 3]}
        for at in range(12)
    ],
    [
        {"id": "a", "x": 1.5, "n": [], "f": 2, "t": b"\xff\x00"},
        {"id": "b", "x": float("nan"), "n": 2**62, "f": [], "late": [1, 2, 3]},
        {"id": "c", "x": 0.5, "n": 0.25, "f": "text", "t": 7, "late": ["s"]},
        {"id": "d", "n": 1},
    ],
)
