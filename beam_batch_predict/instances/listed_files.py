"""Listed files to instances: the model gets the content, the output has the URI."""

from __future__ import annotations

import dataclasses

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Status

__all__ = ["convert_listed_files"]


def convert_listed_files(
    batch: InstanceBatch, config: InstanceConfig, non_finite: NonFinite = NonFinite.STRING
) -> InstanceBatch:
    """Give the rows of a batch their instances and their texts in the output.

    Args:
        batch: rows are (URI, content); a `Status` instead of content that could not be
            read.
        config: not used: none of its fields applies to file lists.
        non_finite: not used: there are no numbers.

    Returns:
        The batch with `instances` (bytes) and `texts` (URIs).
    """
    failed = [
        (position, content)
        for position, (_, content) in enumerate(batch.rows)
        if isinstance(content, Status)
    ]
    return dataclasses.replace(
        batch,
        instances=[b"" if isinstance(content, Status) else content for _, content in batch.rows],
        texts=[dumps(uri) for uri, _ in batch.rows],
        statuses=batch.failing(failed),
    )
