"""Lockstep as a contestant on a GPU, and its serial CPU baseline. Standard library only."""

import os
from types import SimpleNamespace

from ours import Lockstep

MOST_EPOCHS = 2000  # a batch of all samples makes epochs of one step


class GpuLockstep(Lockstep):
    """One precision, and one way to multiply, of one job. `peer` is False, as report.py asks."""

    peer = False

    def __init__(self, job, build, data, device="cuda", precision="fp32", gemm=None):
        cpus = os.sched_getaffinity(0)
        self.data = data
        places = SimpleNamespace(program=build.program, mnist=data.mnist)
        super().__init__(job, 1, cpus, places, precision)
        self.precision, self.device, self.gemm = precision, device, gemm
        self.name = "Lockstep serial, CPU" if device == "cpu" else f"Lockstep {precision}"
        self.command[self.command.index("--device") + 1] = device
        if gemm:
            self.name += f", {gemm}"
            self.command += ["--gemm", gemm]

    def options(self, places, ranks):
        """As bench/peers has them, on data that needs no file of theirs."""
        cache = places.program.parent
        options = super().options(SimpleNamespace(mnist=places.mnist, cache=cache), ranks)
        rows = 2 if self.job.data == "mnist" else 4  # --data SPEC, or --data SPEC --test-data SPEC
        if self.job.data == "cifar10":
            model = options.index("--optimizer")
            return ["--data", f"cifar10:{self.data.cifar}", "--model", "cnn", *options[model:]]
        if self.job.data != "mnist":
            return ["--data", "synthetic:n=1000000,d=20", *options[rows:]]
        if not self.data.mnist:
            return ["--data", "synthetic:n=60000,d=784,classes=10", *options[rows:]]
        return options

    def prepare(self, round_seconds):
        run = self.run(self.job.check_epochs)
        self.accuracy = run["final"]["train_accuracy"]
        epoch_seconds = run["train_seconds"] / self.job.check_epochs
        self.epochs = min(MOST_EPOCHS, max(1, round(round_seconds / max(epoch_seconds, 1e-6))))

    def measure(self):
        """Samples a second; `apart` is what the run took beside training."""
        run = self.run(self.epochs)
        self.apart = run["seconds"]
        return run["samples_per_second"]


def contestants(job, build, data, precisions):
    """Ours on the GPU in each precision, with either matrix product where the build lets choose."""
    ways = ["own", "cublas"] if build.has_option("--gemm") and not job.logistic else [None]
    return [
        GpuLockstep(job, build, data, precision=precision, gemm=gemm)
        for precision in precisions
        for gemm in ways
    ]
