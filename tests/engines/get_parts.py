"""Download of the engines for the tests into `.engines/`; `make test-engines` calls it.

A part that exists is not downloaded again. For a part that is missing, the script prints the
reason, and the tests of the part are skipped. Two parts may be given by environment variables:
BBP_PRISM, the program, and BBP_FLINK_JOB_SERVER_JAR, a job server of Beam for Flink.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import apache_beam as beam

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / ".engines"
OLDER = ROOT / "tests" / "engines" / "flink" / "pom.xml"

FLINK = "1.20"
"""Version of Flink of the job server of our version of Beam."""

OPENED = ("io", "lang", "lang.reflect", "net", "nio", "text", "time", "util", "util.concurrent")
"""Packages of Java that Flink accesses by reflection."""

_SECONDS = 900


class Missing(Exception):
    """A part is missing; the message has the reason."""


def prism():
    """Return the program Prism, and a description.

    Raises:
        Missing: it is not installed.
    """
    return _part("prism", "BBP_PRISM")


def flink_job_server():
    """Return the jar of a job server for Flink, which also contains Flink, and a description.

    Raises:
        Missing: the jar or Java is not installed.
    """
    if shutil.which("java") is None:
        raise Missing("Java is not installed")
    return _part("flink-job-server.jar", "BBP_FLINK_JOB_SERVER_JAR")


def _part(name, variable):
    brought = os.environ.get(variable)
    if brought:
        return Path(brought), f"{variable}={brought}"
    path, said = PARTS / name, PARTS / f"{name}.txt"
    text = said.read_text() if said.exists() else "run `make test-engines`, which gets it"
    if not path.exists():
        raise Missing(text)
    return path, text


def _get(name, *ways):
    """Try the ways to get a part until one succeeds, and write its description or the reason."""
    path = PARTS / name
    if not path.exists():
        PARTS.mkdir(exist_ok=True)
        said = []
        for way in ways:
            try:
                said = [way(path)]
                break
            except Missing as reason:
                said.append(str(reason))
        (PARTS / f"{name}.txt").write_text("; ".join(said))


def _build_prism(path):
    version = f"v{beam.__version__}"
    module = f"github.com/apache/beam/sdks/v2/go/cmd/prism@{version}"
    _run(["go", "install", module], GOBIN=str(path.parent))
    return f"Prism {version}, built by go install"


def _get_job_server(path):
    artifact = f"beam-runners-flink-{FLINK}-job-server"
    _maven(
        "dependency:copy",
        f"-Dartifact=org.apache.beam:{artifact}:{beam.__version__}",
        f"-DoutputDirectory={path.parent}",
    )
    (path.parent / f"{artifact}-{beam.__version__}.jar").rename(path)
    return f"{artifact} {beam.__version__}, from Maven"


def _assemble_job_server(path):
    """Make a jar that only names other jars, on a class path that Maven has downloaded."""
    listed = path.with_suffix(".path")
    _maven("--file", OLDER, "dependency:build-classpath", f"-Dmdep.outputFile={listed}")
    jars = listed.read_text().strip().split(os.pathsep)
    listed.unlink()
    manifest = {
        "Manifest-Version": "1.0",
        "Main-Class": "org.apache.beam.runners.flink.FlinkJobServerDriver",
        "Add-Opens": " ".join(f"java.base/java.{package}" for package in OPENED),
        "Class-Path": " ".join(Path(jar).as_uri() for jar in jars),
    }
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "".join(map(_entry, manifest.items())) + "\r\n")
    (own,) = (Path(jar).stem for jar in jars if "/beam-runners-flink-" in jar)
    return f"{own}, an older one, assembled from Maven"


def _entry(named):
    """Return an entry of a manifest in lines of at most 72 bytes."""
    line = ": ".join(named)
    rest = [line[at : at + 69] for at in range(69, len(line), 69)]
    return "\r\n ".join([line[:69], *rest]) + "\r\n"


def _maven(*arguments):
    _run(["mvn", "--quiet", "--batch-mode", *arguments])


def _run(command, **environment):
    if shutil.which(command[0]) is None:
        raise Missing(f"{command[0]} is not installed")
    try:
        done = subprocess.run(
            list(map(str, command)),
            env={**os.environ, **environment},
            cwd=PARTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took longer than {_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["no output"]
        errors = [line for line in lines if "[ERROR]" in line] or lines[-1:]
        raise Missing(f"{command[0]} failed: {errors[0][:300]}")


def main(wanted):
    """Get the parts of the named engines, and print a description of each."""
    if "prism" in wanted:
        _get("prism", _build_prism)
    if "flink" in wanted:
        _get("flink-job-server.jar", _get_job_server, _assemble_job_server)
    for name, part in (("Prism", prism), ("Flink", flink_job_server)):
        try:
            print(f"== Engines: {name}: {part()[1]}")
        except Missing as reason:
            print(f"== Engines: {name}: skipped; {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
