"""Where a run writes, as far as that is known without its pipeline."""

from __future__ import annotations

import dataclasses
import datetime
from typing import NamedTuple

from beam_batch_predict.runs.record import Run
from beam_batch_predict.sinks.naming import output_directory, shared_directory
from beam_batch_predict.sinks.publish.bigquery_tables import OutputTables, output_tables
from beam_batch_predict.spec import (
    BigQueryDestination,
    Destination,
    GcsDestination,
    JobRecord,
)

__all__ = ["OutputLocation"]


class OutputLocation(NamedTuple):
    """Where a run writes, as far as that is known without its pipeline."""

    destination: Destination
    display_name: str
    create_time: datetime.datetime

    @property
    def tables(self) -> OutputTables | None:
        """The tables, where the results are such."""
        if isinstance(self.destination, GcsDestination):
            return None
        return output_tables(self.destination, self.display_name, self.create_time)

    def directory(self, prefix: str = "") -> str:
        """The run's directory; empty for tables as long as the prefix is not known."""
        if isinstance(self.destination, GcsDestination):
            prefix = self.destination.output_uri_prefix
            if not self.destination.own_directory:
                return shared_directory(prefix)
        return output_directory(prefix, self.display_name, self.create_time) if prefix else ""

    def record_in(self, directory: str, job: JobRecord | None = None) -> Run:
        """The record of the run, in a directory that is known."""
        record = Run(directory, self.create_time, job, self.tables)
        if isinstance(self.destination, BigQueryDestination):
            return record
        return dataclasses.replace(
            record,
            file_names=self.destination.file_names,
            own_directory=self.destination.own_directory,
        )
