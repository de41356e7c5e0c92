"""Modules to import before a model is loaded, because they register its ops."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from collections.abc import Iterable

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.messages import quoted

__all__ = ["check_installed", "check_module_names", "module_names", "not_installed"]

_DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""The names of distributions that are not those of their modules."""


def module_names(text: str, field: str = "model_imports") -> tuple[str, ...]:
    """Split the names of modules in an option, and check them.

    Args:
        text: names, separated by commas; empty for none.
        field: the name of the option.

    Raises:
        InvalidArgument: one is not the name of a module.

    Example:
        >>> module_names("tensorflow_text, my.ops")
        ('tensorflow_text', 'my.ops')
    """
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    return check_module_names(names, field)


def check_module_names(names: Iterable[str], field: str) -> tuple[str, ...]:
    """Return the names of modules, each once.

    Raises:
        InvalidArgument: one is not the name of a module.

    Example:
        >>> check_module_names(["tensorflow-text"], "imports")
        Traceback (most recent call last):
        beam_batch_predict.errors.InvalidArgument: imports: expected names of Python modules, \
such as tensorflow_text, found 'tensorflow-text'
          hint: did you mean tensorflow_text?
    """
    found = list(names)
    for name in found:
        if _is_module_name(name):
            continue
        near = str(name).replace("-", "_").removesuffix(".py")
        raise InvalidArgument(
            f"{field}: expected names of Python modules, such as tensorflow_text, found "
            f"{quoted(name)}",
            f"did you mean {near}?" if _is_module_name(near) else "",
        )
    return tuple(dict.fromkeys(found))


def _is_module_name(name: object) -> bool:
    parts = name.split(".") if isinstance(name, str) else [""]
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)


def check_installed(names: Iterable[str], field: str = "model_imports") -> None:
    """Check that modules can be found here, without importing them.

    Raises:
        InvalidArgument: one cannot be found.
    """
    for name in names:
        top = name.partition(".")[0]
        if top not in sys.modules and importlib.util.find_spec(top) is None:
            message, hint = not_installed(name)
            raise InvalidArgument(f"{field}: {message}", hint)


def not_installed(name: str) -> tuple[str, str]:
    """Return the message and the hint for a module that cannot be found.

    Example:
        >>> not_installed("tensorflow_text")[1]
        'pip install tensorflow-text, here and wherever workers load the model'
        >>> not_installed("json.text")[1]
        'correct the name'
    """
    top = name.partition(".")[0]
    distribution = _DISTRIBUTIONS.get(top, top.replace("_", "-"))
    if name != top and (top in sys.modules or importlib.util.find_spec(top)):
        return f"{top} is installed in {sys.prefix}, but has no module {name}", "correct the name"
    return (
        f"the module {name} is not installed in {sys.prefix}",
        f"pip install {distribution}, here and wherever workers load the model",
    )
