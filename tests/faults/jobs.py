"""Jobs for faults, on disk and in processes, and readers of what they leave."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from helpers.processes import ended, finish, wait_for

from beam_batch_predict.commands.run import run_job
from beam_batch_predict.jobs import read_job
from beam_batch_predict.spec import RunOptions

ROOT = Path(__file__).resolve().parents[2]
INJECTED = Path(__file__).resolve().parent / "injected"

ROWS = 2_000
CHUNK_BYTES = 500


def is_bad(row):
    """Return whether the model has no prediction for a row."""
    return row % 23 == 7


class Given(NamedTuple):
    """The inputs of all jobs: the paths of the model and of the rows."""

    model: str
    rows: str


class Job:
    """A job on disk, and the ways to run it."""

    def __init__(self, directory, given, stop_at=-1.0):
        self.directory, self.out, self.marks = directory, directory / "out", directory / "marks"
        self.gate = self.marks / "gate"
        self.marks.mkdir()
        self.description = {
            "displayName": "faults",
            "unmanagedContainerModel": {"artifactUri": given.model},
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [given.rows]},
            },
            "modelParameters": {"gate": str(self.gate), "stop_at": stop_at},
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": str(self.out)},
            },
        }
        self.write()
        self.marks.chmod(0o777)

    def write(self):
        """Write the job file."""
        self.path = self.directory / "job.json"
        self.path.write_text(json.dumps(self.description))

    def run_here(self, **options):
        """Run it in this process, and return the job resource."""
        job = read_job(self.path.read_bytes())
        options = RunOptions(**{"chunk_bytes": CHUNK_BYTES, **options})
        return json.loads(run_job(job, options, []).job)

    def command(self, *flags):
        """Return its command line."""
        chunks = f"--chunk_bytes={CHUNK_BYTES}"
        return [sys.executable, "-m", "beam_batch_predict", "run", str(self.path), chunks, *flags]

    def start(self, *flags, fault=None, before=(), **environment):
        """Start it in a separate process, perhaps with a fault, and return the process."""
        # As in a user's shell, without the log level of TensorFlow of these tests.
        shell = {
            name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
        }
        variables = {**shell, **environment}
        path = [str(ROOT)]
        if fault is not None:
            fault = {"below": str(self.out), "marks": str(self.marks), **fault}
            variables["INJECTED_FAULT"] = json.dumps(fault)
            path.insert(0, str(INJECTED))
        return subprocess.Popen(
            [*before, *self.command(*flags)],
            env={**variables, "PYTHONPATH": os.pathsep.join(path)},
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *flags, **how):
        """Run it in a separate process to its end, and return what it printed."""
        with ended(self.start(*flags, **how)) as process:
            return finish(process)

    def reached(self, process):
        """Wait until the fault has happened."""
        wait_for((self.marks / "reached").exists, process)

    def let_go(self):
        """Let a waiting process continue."""
        (self.marks / "go").touch()
        self.gate.touch()

    @property
    def only_directory(self):
        """Return the directory of the only run."""
        (directory,) = self.out.iterdir()
        return directory

    @property
    def state(self):
        """Return the state in the job resource of the only run."""
        return json.loads((self.only_directory / "job.json").read_text())["state"]

    @property
    def parts(self):
        """Return all files and directories below `_parts`."""
        return sorted(path.name for path in self.only_directory.glob("_parts/*/*"))


def members(session):
    """Return the processes of a session that are alive."""
    found = subprocess.run(["ps", "-o", "stat=,args=", "-s", str(session)], stdout=subprocess.PIPE)
    return [line for line in found.stdout.decode().splitlines() if not line.startswith("Z")]


def strangers_in(directory, published):
    """Return the unexpected names in the directory of a run that has ended."""
    known = {*published, "job.json", "manifest.json"}
    return sorted({path.name for path in directory.iterdir()} - known)


def published_in(directory):
    """Return the published files: bytes by name."""
    kinds = ("errors_*", "predictions_*")
    return {path.name: path.read_bytes() for kind in kinds for path in directory.glob(kind)}
