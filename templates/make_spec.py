"""Print the container spec of the flex template: the file that `flex-template run` is pointed at.

    python templates/make_spec.py --image=IMAGE:TAG [--environment='{"maxWorkers": 10}'] > spec.json

It is what `gcloud dataflow flex-template build` stages, for those who stage it by other means,
such as Terraform; beyond that, the image is named as the workers' too.

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
    """The container spec as JSON has it.

    Args:
        image: of launcher and workers.
        environment: fields of the default environment, as in maxWorkers.

    Raises:
        ValueError: Dataflow does not know a field.
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
    """Print the spec; the exit code."""
    parser = argparse.ArgumentParser(description="Print the container spec of the flex template.")
    parser.add_argument("--image", required=True, help="of launcher and workers")
    parser.add_argument(
        "--environment",
        type=json.loads,
        default={},
        metavar="JSON",
        help="a FlexTemplateRuntimeEnvironment: what jobs have unless their launch says otherwise",
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
