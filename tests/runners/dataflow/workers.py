"""Workers for a stand-in for Dataflow: processes that run the staged pipeline."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).parent


class Workers:
    """Workers that run the staged pipeline, with only the staged package."""

    def __init__(self, directory, **environment):
        self._directory, self._environment = directory, environment
        self.service = None
        self.at_once = 1
        self.said = ""

    def __call__(self, job, body):
        """Run a new job; the service calls this."""
        self.service.go_to(job, self._run(body))

    def _run(self, body):
        staging = self._directory / "staging"
        (wheel,) = staging.glob("beam_batch_predict-*.whl")
        installed = self._directory / "installed"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(installed)
        path = os.pathsep.join([str(installed), self._environment.get("PYTHONPATH", "")])
        options = self._directory / "options.json"
        options.write_text(json.dumps(body["environment"]["sdkPipelineOptions"]["options"]))
        command = [
            sys.executable,
            str(HERE / "run_staged.py"),
            str(staging / "pipeline.pb"),
            options,
        ]
        # Like workers that are alive although the service treats them as dead.
        running = [
            subprocess.Popen(
                command,
                env={"PATH": "/usr/bin:/bin", **self._environment, "PYTHONPATH": path},
                cwd=self._directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(self.at_once)
        ]
        for each in running:
            with each:
                self.said += each.communicate()[0]
        if all(each.returncode for each in running):
            self.service.say(f"Error message from worker: generic::unknown: {self.said}")
            return "FAILED"
        return "DONE"
