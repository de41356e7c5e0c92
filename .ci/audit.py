"""Audit of the locked dependencies for known vulnerabilities, with pip-audit.

    audit.py               audit requirements.lock; exit code 1 if anything is found
    audit.py --reachable   exit code 0 if the advisories can be downloaded, else 3

Findings that do not affect this package are in audit-exceptions.txt, each with an expiry date.
Every locked package is audited, also those for other Python versions or systems.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).parent
LOCK = HERE.parent / "requirements.lock"
EXCEPTIONS = HERE / "audit-exceptions.txt"

KNOWN_VULNERABLE = "https://pypi.org/pypi/requests/2.19.1/json"
"""A release with advisories. A service or mirror that lists none for it has no advisories."""

SECONDS = 5


def main(arguments: list[str]) -> int:
    """Run the command line, and return the exit code."""
    reason = why_unreachable(KNOWN_VULNERABLE)
    if reason:
        print(f"== Audit: skipped, cannot download PyPI's advisories: {reason}", file=sys.stderr)
        return 3
    if arguments == ["--reachable"]:
        return 0
    ignored, expired = exceptions(EXCEPTIONS.read_text(), datetime.date.today())
    for line in expired:
        print(f"== Audit: this exception has expired: {line}", file=sys.stderr)
    found = [audit(requirements, ignored) for requirements in files_to_audit(LOCK.read_text())]
    return max(found)


def why_unreachable(url: str) -> str:
    """Return why the advisories cannot be downloaded; empty if they can."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            known = json.load(answer).get("vulnerabilities")
    except (OSError, ValueError) as error:
        return str(error)
    return "" if known else f"{url} lists none, although there are some"


def exceptions(text: str, today: datetime.date) -> tuple[list[str], list[str]]:
    """Return the ids of findings to ignore, and the lines that have expired.

    Raises:
        ValueError: a line is not `ID YYYY-MM-DD reason`.
    """
    ignored, expired = [], []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split(maxsplit=2)
        if len(parts) < 3:
            raise ValueError(f"{EXCEPTIONS.name}: expected `ID YYYY-MM-DD reason`, found {line!r}")
        name, day, _ = parts
        if datetime.date.fromisoformat(day) > today:
            ignored.append(name)
        else:
            expired.append(line)
    return ignored, expired


def files_to_audit(lock: str) -> list[str]:
    """Split the lock into files that name each package once, for all Pythons and systems."""
    files: list[dict[str, str]] = []
    for line in lock.splitlines():
        requirement = line.partition(";")[0].strip()
        if not requirement or requirement.startswith("#"):
            continue
        name = re.split(r"==|\[", requirement)[0]
        free = next((file for file in files if name not in file), None)
        if free is None:
            files.append(free := {})
        free[name] = requirement
    return ["\n".join([*file.values(), ""]) for file in files]


def audit(requirements: str, ignored: list[str]) -> int:
    """Audit a requirements file; return 1 if anything is found or any package is unknown."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--requirement", file.name]
        # Unknown packages would count as harmless without --strict.
        command += ["--no-deps", "--disable-pip", "--strict", "--progress-spinner=off"]
        command += [f"--ignore-vuln={name}" for name in ignored]
        return min(subprocess.run(command, check=False).returncode, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
