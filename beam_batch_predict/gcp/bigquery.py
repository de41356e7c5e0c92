"""Clients of BigQuery, and a picklable value that describes how to make them.

By default, clients have Application Default Credentials and Google's endpoints. Google's
libraries are imported when the first client is made.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted

if TYPE_CHECKING:
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import Credentials
    from google.cloud.bigquery import Client
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

__all__ = ["BigQueryClients", "sql_name"]

REST_EMULATOR = "BIGQUERY_EMULATOR_HOST"
"""The variable with the URL of an emulator's REST API; Google's client reads it too."""

STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"
"""The variable with host:port of an emulator's Storage API: gRPC without TLS."""

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclasses.dataclass(frozen=True)
class BigQueryClients:
    """Project, credentials and endpoints of clients of BigQuery.

    Args:
        project: the project in which jobs and read sessions run and are billed. The default is
            that of the credentials or of the environment variable `GOOGLE_CLOUD_PROJECT`, or
            else that of the table.
        credentials: a picklable function, such as one of a module, that makes the credentials on
            each worker. The default is Application Default Credentials.
        quota_project: the project whose quota is used, if not that of the credentials.
        rest_endpoint: URL of the REST API, such as a private endpoint. The default is
            `BIGQUERY_EMULATOR_HOST`, or Google's. No credentials are sent to `http://`.
        storage_endpoint: host:port of the Storage API. The default is
            `BIGQUERY_STORAGE_EMULATOR_HOST`, or Google's.
        insecure_storage: whether `storage_endpoint` uses gRPC without TLS and credentials, as
            emulators do.

    Raises:
        InvalidArgument: an endpoint has a wrong form.

    Example:
        >>> BigQueryClients(project="my-project").project
        'my-project'
    """

    project: str = ""
    credentials: Callable[[], Credentials] | None = dataclasses.field(default=None, repr=False)
    quota_project: str = ""
    rest_endpoint: str = ""
    storage_endpoint: str = ""
    insecure_storage: bool = False

    def __post_init__(self) -> None:
        if self.rest_endpoint and not re.match(r"https?://", self.rest_endpoint):
            raise InvalidArgument(
                f"rest_endpoint: expected a URL with https://, found {quoted(self.rest_endpoint)}"
            )
        if "://" in self.storage_endpoint:
            raise InvalidArgument(
                f"storage_endpoint: expected host:port, found {quoted(self.storage_endpoint)}"
            )
        if self.insecure_storage and not self.storage_endpoint:
            raise InvalidArgument("insecure_storage: needs a storage_endpoint")

    def rest(self, default_project: str = "") -> Client:
        """Make a client of the REST API, for tables and jobs; its `project` is billed.

        Args:
            default_project: the project if no other is set.

        Raises:
            google.auth.exceptions.GoogleAuthError: there are no credentials.
            InvalidArgument: no project is set.
        """
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        endpoint = self.rest_endpoint or os.environ.get(REST_EMULATOR) or None
        if endpoint and endpoint.startswith("http:"):
            credentials, project = AnonymousCredentials(), _known_project()  # type: ignore[no-untyped-call]
            options = ClientOptions(api_endpoint=endpoint)
        else:
            credentials, project = self._login()
            options = self._options(endpoint)
        project = self.project or project or default_project
        if not project:
            raise InvalidArgument(
                "no project is set in which queries run and are billed",
                "set GOOGLE_CLOUD_PROJECT, or BigQueryClients(project=…)",
            )
        return Client(
            project=project,
            credentials=credentials,
            client_options=options,
        )

    def storage(self) -> BigQueryReadClient:
        """Make a client of the Storage Read API, for sessions and streams.

        Raises:
            google.auth.exceptions.GoogleAuthError: there are no credentials.
        """
        from google.cloud.bigquery_storage_v1 import BigQueryReadClient

        emulator = "" if self.storage_endpoint else os.environ.get(STORAGE_EMULATOR, "")
        if emulator or self.insecure_storage:
            return _insecure_client(emulator or self.storage_endpoint)
        credentials, _ = self._login()
        return BigQueryReadClient(  # type: ignore[no-untyped-call]
            credentials=credentials, client_options=self._options(self.storage_endpoint)
        )

    def _options(self, endpoint: str | None) -> ClientOptions:
        from google.api_core.client_options import ClientOptions

        return ClientOptions(
            api_endpoint=endpoint or None, quota_project_id=self.quota_project or None
        )

    def _login(self) -> tuple[Any, str]:
        """Return credentials, and the project of them or of the environment."""
        import google.auth

        if self.credentials is not None:
            return self.credentials(), _known_project()
        credentials, project = google.auth.default(scopes=_SCOPES)
        return credentials, project or ""


def _known_project() -> str:
    return os.environ.get("GOOGLE_CLOUD_PROJECT", "")


def _insecure_client(address: str) -> BigQueryReadClient:
    import grpc
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
        BigQueryReadGrpcTransport,
    )

    options = [
        ("grpc.max_receive_message_length", -1),  # no limit, as in Google's own channels
        ("grpc.use_local_subchannel_pool", 1),  # a client that is closed keeps no connection
    ]
    channel = grpc.insecure_channel(address, options=options)
    transport = BigQueryReadGrpcTransport(channel=channel)
    return BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]


def sql_name(name: str) -> str:
    r"""Quote the name of a table or column for a query, with escapes if necessary.

    Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#quoted_identifiers

    Example:
        >>> print(sql_name("my-project.data.penguins"), sql_name("a`b\\"))
        `my-project.data.penguins` `a\`b\\`
    """
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`".replace("\n", "\\n").replace("\r", "\\r")
