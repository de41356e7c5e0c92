"""Look for known vulnerabilities in the locked dependencies, by pip-audit.

    audit.py               audit requirements.lock; exit code 1 where anything is found
    audit.py --reachable   exit code 0 if the advisories can be had, else 3

Findings that do not concern us are in audit-exceptions.txt, each with a day on which it ends.
Every locked package is audited, also those that only other Pythons or systems install.
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
"""A release with advisories: a service or a mirror that knows of none has none to give."""

SECONDS = 5


def main(arguments: list[str]) -> int:
    """Run the command line; the exit code."""
    reason = why_unreachable(KNOWN_VULNERABLE)
    if reason:
        print(f"== Audit: skipped, PyPI's advisories cannot be had: {reason}", file=sys.stderr)
        return 3
    if arguments == ["--reachable"]:
        return 0
    ignored, expired = exceptions(EXCEPTIONS.read_text(), datetime.date.today())
    for line in expired:
        print(f"== Audit: no longer excepted, {line}", file=sys.stderr)
    found = [audit(requirements, ignored) for requirements in files_to_audit(LOCK.read_text())]
    return max(found)


def why_unreachable(url: str) -> str:
    """Why the advisories cannot be had; empty if they can."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            known = json.load(answer).get("vulnerabilities")
    except (OSError, ValueError) as error:
        return str(error)
    return "" if known else f"{url} lists none, where there are some"


def exceptions(text: str, today: datetime.date) -> tuple[list[str], list[str]]:
    """The ids of findings to leave out, and the lines whose day is over.

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
    """The lock as files that name each package once, whatever Python or system it is for."""
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
    """Audit a requirements file; 1 if anything is found, or any package is unknown."""
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
