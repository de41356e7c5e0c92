"""Redirection of Beam's BigQuery connectors to the emulators, as soon as it is imported.

Beam has no option for these endpoints. The connectors are otherwise unchanged.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import grpc
from apache_beam.io.gcp import bigquery
from apache_beam.io.gcp.internal.clients.bigquery import BigqueryV2
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)

__all__: list[str] = []

# The emulator of Cloud Storage needs content ids in batch requests; Google does not.
sys.path.append(str(Path(__file__).parents[2] / "tests" / "cloud"))
importlib.import_module("emulators.content_ids")


def _read_client() -> Any:
    channel = grpc.insecure_channel(
        os.environ["BIGQUERY_STORAGE_EMULATOR_HOST"],
        options=[("grpc.max_receive_message_length", -1)],
    )
    transport = BigQueryReadGrpcTransport(channel=channel)
    return BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]


BigqueryV2.BASE_URL = f"{os.environ['BIGQUERY_EMULATOR_HOST']}/bigquery/v2/"
bigquery.bq_storage.BigQueryReadClient = _read_client
