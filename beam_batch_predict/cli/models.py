"""The command `beam-batch-predict models`: `list` and `describe`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import printable, redacted
from beam_batch_predict.registry.resolved import REGISTRY_VARIABLE, registry_directory
from beam_batch_predict.spec.modules import module_names

__all__ = ["add_models_parser", "run_models"]

_MOST_VERSIONS = 10

_HEADS = ("NAME", "DEFAULT", "VERSIONS", "ALIASES")


def add_models_parser(commands: Any) -> None:
    """Add the parser of the command."""
    models = commands.add_parser(
        "models",
        help="list the models of a directory of models, or describe a model",
        description="List the models of a directory of models, or describe a model.",
        allow_abbrev=False,
    )
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list",
        help="list models, their versions and aliases",
        description="List the models of a directory of models, with their versions and aliases.",
        allow_abbrev=False,
    )
    describe = actions.add_parser(
        "describe",
        help="show the signatures of a model, with an example instance for each signature",
        description="Show the signatures of a model, with an example instance for each signature. "
        "The model is not loaded.",
        allow_abbrev=False,
    )
    describe.add_argument(
        "--model_imports",
        default="",
        metavar="MODULES",
        help="Python modules to import, separated by commas, to see whether `run` can import them "
        "here",
    )
    describe.add_argument(
        "model",
        metavar="MODEL",
        help="the name of a model (NAME, NAME@VERSION or a full name), or the directory of a "
        "SavedModel (a local path or a URI)",
    )
    for parser in (listing, describe):
        parser.add_argument(
            "--model_registry",
            default="",
            metavar="DIR",
            help="the directory of models (MODEL/VERSION/saved_model.pb), a local path or a URI. "
            f"Default: the environment variable {REGISTRY_VARIABLE}.",
        )
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run_models(arguments: argparse.Namespace) -> int:
    """Run the command.

    Args:
        arguments: the arguments of its parser.

    Returns:
        The exit code.

    Raises:
        InvalidArgument: the registry or the model does not exist, or a module has no valid name.
        ModelError: it cannot be read, or a module cannot be imported.
    """
    if arguments.action == "describe":
        modules = module_names(arguments.model_imports)
        return _describe(arguments.model, arguments.model_registry, modules, arguments.json)
    return _list(arguments.model_registry, arguments.json)


def _describe(target: str, registry: str, modules: Sequence[str], as_json: bool) -> int:
    from beam_batch_predict.commands.describe_model import describe_model

    described = describe_model(target, registry, modules)
    for note in described.resolved.notes if described.resolved else ():
        _note(note)
    print(_json(described.to_json()) if as_json else described.to_text())
    return 0


def _list(registry: str, as_json: bool) -> int:
    # Importing Beam, which reads the files, takes a second.
    from beam_batch_predict.registry.directory import list_models

    directory = registry_directory(registry)
    if not directory:
        raise InvalidArgument(
            "no model registry is set",
            "name a directory of models (MODEL/VERSION/saved_model.pb) with --model_registry=DIR "
            f"or in the environment variable {REGISTRY_VARIABLE}",
        )
    models = list_models(directory)
    if as_json:
        print(_json({"registry": directory, "models": [_model_json(model) for model in models]}))
        return 0
    for model in models:
        for note in model.notes():
            _note(f"{model.name}: {note}")
    rows = [_row(model) for model in models]
    if rows:
        print(_table([_HEADS, *rows]))
    else:
        _note(f"{directory} has no models")
    return 0


def _model_json(model: Any) -> dict[str, Any]:
    default = model.default
    return {
        "name": model.name,
        "uri": model.uri,
        "default": None if default is None else str(default),
        "versions": [{"version": str(number), "uri": uri} for number, uri in model.versions],
        "aliases": {name: str(number) for name, number in model.pins.aliases.items()},
        "notes": model.notes(),
    }


def _row(model: Any) -> tuple[str, ...]:
    numbers = [str(version.number) for version in reversed(model.versions)]
    more = [f"{len(numbers) - _MOST_VERSIONS} more"] if len(numbers) > _MOST_VERSIONS else []
    aliases = (f"{name}={number}" for name, number in model.pins.aliases.items())
    default = "" if model.default is None else str(model.default)
    return model.name, default, ", ".join(numbers[:_MOST_VERSIONS] + more), ", ".join(aliases)


def _table(rows: Sequence[Sequence[str]]) -> str:
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True)


def _note(text: str) -> None:
    print(f"note: {redacted(printable(text))}", file=sys.stderr)
