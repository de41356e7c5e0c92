"""Gets what the tests of other engines need, into `.engines/`; `make test-engines` calls it.

A part that is there is left alone. One that cannot be had is named with the reason, and its
tests are skipped. Two can be brought along instead, by environment variables: BBP_PRISM, the
program, and BBP_FLINK_JOB_SERVER_JAR, a job server of Beam for Flink.
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
"""Of the job server of our version of Beam."""

OPENED = ("io", "lang", "lang.reflect", "net", "nio", "text", "time", "util", "util.concurrent")
"""Packages of Java that Flink looks into."""

_SECONDS = 900


class Missing(Exception):
    """A part cannot be had; says why."""


def prism():
    """The program Prism, and what it is.

    Raises:
        Missing: it is not there.
    """
    return _part("prism", "BBP_PRISM")


def flink_job_server():
    """The jar of a job server for Flink, which has Flink in it too; and what it is.

    Raises:
        Missing: it is not there, or Java is not.
    """
    if shutil.which("java") is None:
        raise Missing("Java is not on this machine")
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
    """Try the ways to get a part until one succeeds, and write down what it is or why not."""
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
    """A jar that only names others, on a class path of which Maven has all parts."""
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
    """A line of a manifest, folded: at most 72 bytes each."""
    line = ": ".join(named)
    rest = [line[at : at + 69] for at in range(69, len(line), 69)]
    return "\r\n ".join([line[:69], *rest]) + "\r\n"


def _maven(*arguments):
    _run(["mvn", "--quiet", "--batch-mode", *arguments])


def _run(command, **environment):
    if shutil.which(command[0]) is None:
        raise Missing(f"{command[0]} is not on this machine")
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
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["it said nothing"]
        errors = [line for line in lines if "[ERROR]" in line] or lines[-1:]
        raise Missing(f"{command[0]} failed: {errors[0][:300]}")


def main(wanted):
    """Get the parts of the engines that are named, and say what there is."""
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
