"""Location of a run's output, before the pipeline is built."""

from __future__ import annotations

import dataclasses
import datetime
from typing import NamedTuple

from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.naming import output_directory, shared_directory
from beam_batch_predict.sinks.publish.bigquery_tables import OutputTables, output_tables
from beam_batch_predict.spec import BigQueryDestination, Destination, GcsDestination, JobRenderer

__all__ = ["OutputLocation"]


class OutputLocation(NamedTuple):
    """The destination of a run, with the names that its directory depends on."""

    destination: Destination
    display_name: str
    create_time: datetime.datetime

    @property
    def tables(self) -> OutputTables | None:
        """The tables; None if the results are files."""
        if isinstance(self.destination, GcsDestination):
            return None
        return output_tables(self.destination, self.display_name, self.create_time)

    def directory(self, prefix: str = "") -> str:
        """Return the run's directory; empty for tables if no prefix is given."""
        if isinstance(self.destination, GcsDestination):
            prefix = self.destination.output_uri_prefix
            if not self.destination.own_directory:
                return shared_directory(prefix)
        return output_directory(prefix, self.display_name, self.create_time) if prefix else ""

    def run_in(self, directory: str, job: JobRenderer | None = None) -> Run:
        """Make the run in a directory."""
        key = self.destination.kms_key_name
        run = Run(directory, self.create_time, job, self.tables, kms_key_name=key)
        if isinstance(self.destination, BigQueryDestination):
            return run
        return dataclasses.replace(
            run,
            file_names=self.destination.file_names,
            own_directory=self.destination.own_directory,
        )
