"""Lockstep as a contestant: the program run as its users run it. Standard library only."""

import json
import os
import shutil
import subprocess
import tempfile

from client import PeerError, pinned
from jobs import SYNTHETIC_FILES

RUN_SECONDS = 300
# Ranks pin themselves, to the processors that are allowed here.
MPIRUN = ("mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none")


def has_mpirun():
    return shutil.which(MPIRUN[0]) is not None


class Lockstep:
    """One mode of one job. A run starts the program; what it reports covers training alone."""

    compared = True
    note = ""

    def __init__(self, job, workers, cpus, places, precision="fp32", weak=False,
                 dense=False, ranks=False):  # fmt: skip
        self.job, self.cpus, self.workers, self.weak = job, cpus, workers, weak
        self.precision = "bf16" if precision == "bf16" else "float32"
        self.name = "Lockstep serial" if workers == 1 else f"Lockstep sync:{workers}"
        self.name += "@mpi" if ranks else ""
        self.name += " bf16" if precision == "bf16" else ""
        self.name += ", same batch per worker" if weak else ""
        self.name += ", dense" if dense else ""
        options = [*self.options(places, ranks), "--precision", precision]
        if dense:
            options += ["--sparse-input", "off"]
        self.command = [places.program, "train", *options]
        if ranks:
            self.command = [*MPIRUN, "-n", workers, *self.command]

    def options(self, places, ranks):
        job = self.job
        if job.data == "mnist":
            options = ["--data", f"mnist:{places.mnist}"]
        else:
            x, y, test_x, test_y = (places.cache / name for name in SYNTHETIC_FILES)
            options = ["--data", f"npy:{x},{y}", "--test-data", f"npy:{test_x},{test_y}"]
        if job.logistic:
            options += ["--model", "logistic"]
        else:
            hidden = ",".join(map(str, job.widths[1:-1]))
            options += ["--model", "mlp", "--hidden", hidden, "--dropout", job.dropout]
        options += ["--optimizer", job.optimizer, "--lr", job.learning_rate]
        options += ["--momentum", job.momentum, "--weight-decay", job.weight_decay]
        options += ["--shuffle", "epoch" if job.shuffle else "none"]
        options += ["--per-worker-batch" if self.weak else "--batch-size", job.batch]
        options += [
            "--workers",
            1 if ranks else self.workers,
            "--strategy",
            "serial" if self.workers == 1 else "sync",
        ]
        return options + ["--device", "cpu", "--seed", 1, "--eval-every", 1_000_000]

    def run(self, epochs):
        """runs[0] of the program's JSON document."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LOCKSTEP_")}
        command = pinned(self.cpus, [*self.command, "--epochs", epochs, "--json", "--quiet"])
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, env=environment, cwd=folder,
                    timeout=RUN_SECONDS,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise PeerError(f"no result in {RUN_SECONDS} s: {' '.join(command)}") from None
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise PeerError(f"exit code {done.returncode}: {' '.join(last)} ({' '.join(command)})")
        return json.loads(done.stdout)["runs"][0]

    def prepare(self, round_seconds):
        run = self.run(self.job.check_epochs)
        self.accuracy = run["final"]["test_accuracy"]
        if run["strategy_options"].get("sparse_input") == "on":
            self.note = "skips zero inputs"
        epoch_seconds = run["train_seconds"] / self.job.check_epochs
        self.epochs = max(1, round(round_seconds / max(epoch_seconds, 1e-6)))

    def measure(self):
        """Samples a second."""
        return self.run(self.epochs)["samples_per_second"]
