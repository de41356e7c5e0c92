"""Location of a run's output, as far as it is known without the pipeline."""

from __future__ import annotations

import dataclasses
import datetime
from typing import NamedTuple

from beam_batch_predict.runs.record import Run
from beam_batch_predict.sinks.naming import output_directory, shared_directory
from beam_batch_predict.sinks.publish.bigquery_tables import OutputTables, output_tables
from beam_batch_predict.spec import BigQueryDestination, Destination, GcsDestination, JobRecord

__all__ = ["OutputLocation"]


class OutputLocation(NamedTuple):
    """Location of a run's output, as far as it is known without the pipeline."""

    destination: Destination
    display_name: str
    create_time: datetime.datetime

    @property
    def tables(self) -> OutputTables | None:
        """The tables, if the results are tables."""
        if isinstance(self.destination, GcsDestination):
            return None
        return output_tables(self.destination, self.display_name, self.create_time)

    def directory(self, prefix: str = "") -> str:
        """Return the run's directory; empty for tables if the prefix is not known yet."""
        if isinstance(self.destination, GcsDestination):
            prefix = self.destination.output_uri_prefix
            if not self.destination.own_directory:
                return shared_directory(prefix)
        return output_directory(prefix, self.display_name, self.create_time) if prefix else ""

    def run_in(self, directory: str, job: JobRecord | None = None) -> Run:
        """Make the run, in a directory that is known."""
        run = Run(directory, self.create_time, job, self.tables)
        if isinstance(self.destination, BigQueryDestination):
            return run
        return dataclasses.replace(
            run,
            file_names=self.destination.file_names,
            own_directory=self.destination.own_directory,
        )
