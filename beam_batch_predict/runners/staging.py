"""Staging of this package for remote workers that start from Beam's own image.

Such workers have Beam, but neither this package nor TensorFlow. The launcher stages its own
installed package as a wheel. Before the first work, pip installs the wheel on the worker, and its
requirements from PyPI in the versions of the launcher. A source
distribution would have to be built on each worker.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import pathlib
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, WorkerOptions
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from beam_batch_predict.errors import InvalidArgument

__all__ = ["brings_package", "make_wheel", "staged_for_workers"]

PACKAGE = "beam_batch_predict"
DISTRIBUTION = "beam-batch-predict"

_DIRECTORY = pathlib.Path(__file__).parents[1]
"""The directory of the package."""

_NAMED = re.compile(r"(^|[\s/])beam[-_.]batch[-_.]predict(?!\w|[-_][a-z])", re.IGNORECASE)
_OF_EXTRA = re.compile(r";.*\bextra\s*==")
_FIELDS = ("Metadata-Version", "Name", "Version", "Summary", "Requires-Python")
_TIME = (1980, 1, 1, 0, 0, 0)
"""Time of all files in a wheel: a wheel packed twice has the same bytes, and is staged once."""

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def staged_for_workers(
    options: PipelineOptions,
    show: Callable[[str], object] = _logger.info,
    modules: Iterable[str] = (),
) -> Iterator[None]:
    """Make workers install this package, in a block that submits the pipeline.

    Args:
        options: the options of the pipeline.
        show: shows a line of text.
        modules: further modules that workers need.

    Raises:
        InvalidArgument: the package cannot be packed, or a module is part of no distribution.
    """
    setup = options.view_as(SetupOptions)
    before = setup.extra_packages
    with tempfile.TemporaryDirectory(prefix="beam-batch-predict-") as directory:
        wheel = make_wheel(directory, requirements_of(modules))
        show(_note(options))
        setup.extra_packages = [*(before or ()), wheel]
        try:
            with _without_warning_of(wheel):
                yield
        finally:
            setup.extra_packages = before


def brings_package(options: PipelineOptions) -> bool:
    """Whether an option gives workers this package, or replaces what they install.

    A container image and `--setup_file` define all that workers have. A requirements file and
    extra packages may name this package.
    """
    worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
    image = worker.sdk_container_image or worker.worker_harness_container_image
    extra = any(_NAMED.search(str(package)) for package in setup.extra_packages or ())
    listed = setup.requirements_file and _names_package(setup.requirements_file)
    return bool(image or setup.setup_file or extra or listed)


def _names_package(requirements: str) -> bool:
    try:
        lines = pathlib.Path(requirements).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False  # Beam reports the error
    return any(_NAMED.search(line.partition("#")[0]) for line in lines)


def _note(options: PipelineOptions) -> str:
    private = options.view_as(WorkerOptions).use_public_ips is False
    reach = " Without public addresses they reach it only through Cloud NAT." if private else ""
    name = f"{DISTRIBUTION} {_distribution().version}"
    return (
        f"note: workers start from Beam's image, and install {name} and its requirements, "
        "such as TensorFlow, from PyPI: some minutes for each worker."
        f"{reach} An image that contains them, --sdk_container_image, starts faster: "
        "docs/flex-template.md"
    )


@contextlib.contextmanager
def _without_warning_of(wheel: str) -> Iterator[None]:
    """Suppress Beam's warning that a wheel may not fit the workers: this one fits all."""
    stager = logging.getLogger("apache_beam.runners.portability.stager")

    def is_other(record: logging.LogRecord) -> bool:
        return not (wheel in record.getMessage() and record.levelno == logging.WARNING)

    stager.addFilter(is_other)
    try:
        yield
    finally:
        stager.removeFilter(is_other)


def requirements_of(modules: Iterable[str]) -> list[str]:
    """Return the distributions that modules are part of, as requirements.

    Raises:
        InvalidArgument: a module is part of no installed distribution.

    Example:
        >>> requirements_of(["packaging.version"])
        ['packaging']
    """
    tops = {module.partition(".")[0]: module for module in modules}
    known = metadata.packages_distributions() if tops else {}
    found: list[str] = []
    for top, module in tops.items():
        if top not in known:
            raise InvalidArgument(
                f"model_imports: the module {module} is part of no installed distribution, which "
                "workers could install",
                "install it with pip, from an index that workers reach, or name an image that "
                "contains it and this package: --sdk_container_image",
            )
        found += known[top]
    return list(dict.fromkeys(found))


def make_wheel(directory: str, further: Iterable[str] = ()) -> str:
    """Pack this package, as it is installed here, into a wheel for any machine.

    The wheel has the modules that this process would import, under the name and version of their
    installation. Requirements are pinned to the versions that are installed here. A second call
    packs the same bytes.

    Args:
        directory: the directory of the wheel.
        further: requirements beside those of the package.

    Returns:
        The path of the wheel.

    Raises:
        InvalidArgument: the package is not installed, so that its requirements are not known; or
            its modules are not files.
    """
    distribution = _distribution()
    name = f"{PACKAGE}-{distribution.version}"
    content = {f"{PACKAGE}/{path}": data for path, data in _modules().items()}
    content[f"{name}.dist-info/METADATA"] = _metadata(distribution, further)
    entries = distribution.read_text("entry_points.txt")
    if entries:
        content[f"{name}.dist-info/entry_points.txt"] = entries.encode()
    content[f"{name}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: beam-batch-predict\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = f"{name}.dist-info/RECORD"
    lines = [f"{path},{_digest(data)},{len(data)}\n" for path, data in content.items()]
    content[record] = "".join([*lines, f"{record},,\n"]).encode()
    wheel = os.path.join(directory, f"{name}-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            info = zipfile.ZipInfo(path, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return wheel


def _modules() -> dict[str, bytes]:
    """Read the files of the package, by path; caches of tools are left out."""
    found = {}
    for path in sorted(_DIRECTORY.rglob("*")):
        inside = path.relative_to(_DIRECTORY)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if not hidden and path.suffix in (".py", ".typed") and path.is_file():
            found[inside.as_posix()] = path.read_bytes()
    if "__init__.py" not in found:
        raise InvalidArgument(
            f"cannot stage {DISTRIBUTION} for workers: {_DIRECTORY} has no modules of it",
            "install it with pip, or name an image that contains it: --sdk_container_image",
        )
    return found


def _distribution() -> metadata.Distribution:
    """Return the metadata of the installed package.

    A checkout may also have an .egg-info of an earlier build.
    """
    found = list(metadata.distributions(name=DISTRIBUTION))
    found.sort(key=lambda each: each.read_text("METADATA") is None)
    if not found:
        raise InvalidArgument(
            f"cannot stage {DISTRIBUTION} for workers: it is not installed here, so that its "
            "requirements are not known",
            "install it with pip, or name an image that contains it: --sdk_container_image",
        )
    return found[0]


def _metadata(distribution: metadata.Distribution, further: Iterable[str]) -> bytes:
    """Return the metadata that pip needs on a worker."""
    fields = distribution.metadata
    lines = [f"{name}: {fields[name]}" for name in _FIELDS if name in fields]
    required = map(_pinned, (*_requirements(distribution), *further))
    lines += dict.fromkeys(f"Requires-Dist: {each}" for each in required)
    return "".join(f"{line}\n" for line in lines).encode()


def _pinned(text: str) -> Requirement:
    """Pin a requirement to the installed version, so that workers compute the same.

    Example:
        >>> _pinned("packaging[x]>=1; python_version >= '3'").specifier == SpecifierSet(
        ...     f"=={metadata.version('packaging')}")
        True
        >>> str(_pinned("no-such-package>=1,<2"))
        'no-such-package<2,>=1'
    """
    requirement = Requirement(text)
    with contextlib.suppress(metadata.PackageNotFoundError):
        version = Version(metadata.version(requirement.name))
        if version.local is None:  # PyPI has no local builds
            requirement.specifier = SpecifierSet(f"=={version}")
    return requirement


def _requirements(distribution: metadata.Distribution) -> list[str]:
    """Return the requirements of the package, without those of its extras.

    In a checkout they are read from pyproject.toml; those of an editable install may be older.
    """
    project = _DIRECTORY.parent / "pyproject.toml"
    if sys.version_info >= (3, 11) and project.is_file():
        import tomllib

        table = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if table.get("name") == DISTRIBUTION:
            found: list[str] = table["dependencies"]
            return found
    return [each for each in distribution.requires or () if not _OF_EXTRA.search(each)]


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.decode().rstrip('=')}"
