"""Calls of gcloud without network, account or configuration; without gcloud, tests skip."""

import os
import shlex
import shutil
import subprocess

import pytest
from runners.dataflow.stand_in import StandIn

__all__ = ["launch", "run"]


def run(line, home, **environment):
    """Run a shell command.

    Args:
        line: the command line.
        home: the directory for gcloud's files.
        environment: more variables.
    """
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    return subprocess.run(
        shlex.split(line),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLOUDSDK_CONFIG": f"{home}/gcloud",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def launch(line, home):
    """Run a command that launches a template, and return the request that Dataflow receives."""
    with StandIn() as service:
        done = run(line, home, CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW=f"{service.url}/")
        assert done.returncode == 0, done.stderr
        (request,) = service.sent("POST", "flexTemplates:launch")
    return request.body["launchParameter"]
