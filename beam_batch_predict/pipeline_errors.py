"""What a runner says of a pipeline that failed, as the error that it was on its worker."""

from __future__ import annotations

import re
from collections.abc import Iterator

from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.sinks.run_record import status_of_error
from beam_batch_predict.status import Code, Status

__all__ = ["status_of_pipeline_error"]


def status_of_pipeline_error(error: BaseException) -> Status:
    r"""The status of a pipeline that failed.

    Runners hand on a worker's exception as the text of its traceback: the last line tells.

    Example:
        >>> text = "Traceback …\n  …\nbeam_batch_predict.errors.ModelError: no such model"
        >>> status_of_pipeline_error(RuntimeError(text))
        Status(code=<Code.FAILED_PRECONDITION: 9>, message='ModelError: no such model')
    """
    if isinstance(error, (BatchPredictError, OSError)):
        return status_of_error(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[-1] if lines else type(error).__name__
    cause = re.sub(r"^(?:\w+\.)+(?=\w+: )", "", cause)
    return Status(_CODES.get(cause.partition(":")[0], Code.INTERNAL), cause)


def _errors(parent: type[BatchPredictError]) -> Iterator[type[BatchPredictError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _errors(child)


_CODES = {each.__name__: each.code for each in _errors(BatchPredictError)}
