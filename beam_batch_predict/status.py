"""The status of a row: `google.rpc.Status`, the one status type of the library.

Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto and
`status.proto` beside it. Job resources, errors files and partial failures use it.
"""

from __future__ import annotations

import dataclasses
import enum

__all__ = ["CODE_OF_HTTP_STATUS", "Code", "Status"]


class Code(enum.IntEnum):
    """The canonical codes of `google.rpc.Code`.

    Example:
        >>> Code.INVALID_ARGUMENT
        <Code.INVALID_ARGUMENT: 3>
    """

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


CODE_OF_HTTP_STATUS = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    429: Code.RESOURCE_EXHAUSTED,
}
"""The canonical code of each HTTP error status of a refused request."""


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """A `google.rpc.Status` with the two fields that errors files hold.

    Attributes:
        code: one of the canonical codes.
        message: what was expected, and what was found.
        cause: the message without the parts that differ from row to row; by default the message.
            Failed rows are counted by it. Comparisons ignore it.
        uri: the file or table that the status is about, if it is about one; rows have their
            location in their batch. Comparisons ignore it.

    Example:
        >>> status = Status(Code.INVALID_ARGUMENT, "expected 2 cells, found 7", "expected 2 cells")
        >>> status.to_json()
        {'code': 3, 'message': 'expected 2 cells, found 7'}
    """

    code: Code
    message: str
    cause: str = dataclasses.field(default="", compare=False, repr=False)
    uri: str = dataclasses.field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.cause:
            object.__setattr__(self, "cause", self.message)

    def __reduce__(self) -> tuple[type[Status], tuple[Code, str, str, str]]:
        # Faster than the default for slots: a batch can have as many statuses as rows.
        return Status, (self.code, self.message, self.cause, self.uri)

    def to_json(self) -> dict[str, int | str]:
        """Return the JSON form of the status: `{"code": …, "message": …}`."""
        return {"code": int(self.code), "message": self.message}
