"""The container spec of the flex template: the file that `flex-template run` reads.

    python templates/make_spec.py --image=IMAGE:TAG [--environment='{"maxWorkers": 10}'] > spec.json

Prints the spec that `gcloud dataflow flex-template build` stages, for other tools such as
Terraform. This spec also sets the image of the workers.

Source of the form: google.dataflow.v1beta3.ContainerSpec, whose `defaultEnvironment` is a
FlexTemplateRuntimeEnvironment.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

__all__ = ["main", "spec"]

METADATA = pathlib.Path(__file__).with_name("metadata.json")


def spec(image: str, environment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make the container spec, as a JSON object.

    Args:
        image: the image of launcher and workers.
        environment: fields of the default environment, such as maxWorkers.

    Raises:
        ValueError: Dataflow does not have one of the fields.
    """
    document = {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": json.loads(METADATA.read_text()),
        "defaultEnvironment": {"sdkContainerImage": image, **(environment or {})},
    }
    message = dataflow_v1beta3.ContainerSpec.pb()()
    try:
        json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        raise ValueError(f"not a container spec: {error}") from None
    return document


def main(argv: Sequence[str] | None = None) -> int:
    """Print the spec, and return the exit code."""
    parser = argparse.ArgumentParser(description="Print the container spec of the flex template.")
    parser.add_argument("--image", required=True, help="image of launcher and workers")
    parser.add_argument(
        "--environment",
        type=json.loads,
        default={},
        metavar="JSON",
        help="a FlexTemplateRuntimeEnvironment: the defaults of jobs, which a launch can override",
    )
    arguments = parser.parse_args(argv)
    if not isinstance(arguments.environment, dict):
        parser.error("--environment: expected a JSON object")
    try:
        made = spec(arguments.image, arguments.environment)
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(made, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
