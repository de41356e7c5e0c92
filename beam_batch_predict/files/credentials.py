"""Credentials for Cloud Storage: Beam's, without waiting where there are none."""

from __future__ import annotations

import os
from typing import Any

import google.auth
from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

__all__ = ["are_missing"]

# Three tries of three seconds and the waits between them are for machines of Google, and the
# client recognizes these without the server too. It reads the variable when it is imported.
os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")

_with_retries = auth._Credentials._get_credentials_with_retrys


def are_missing() -> bool:
    """Return whether Beam has looked for credentials and found none: requests are anonymous."""
    return bool(auth._Credentials._credentials_init and auth._Credentials._credentials is None)


def _find(options: PipelineOptions) -> Any:
    """Return Application Default Credentials.

    Beam looks for them five times within 22 seconds, and logs each as a warning with a traceback.
    Only workers of Dataflow, which have credentials, may find them later.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: there are none.
    """
    if auth.is_running_in_gce:
        return _with_retries(options)
    scopes = options.view_as(GoogleCloudOptions).gcp_oauth_scopes
    return google.auth.default(scopes=scopes)[0]


auth._Credentials._get_credentials_with_retrys = staticmethod(_find)
