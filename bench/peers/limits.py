"""The floor of a job on this machine, from limits measured beside it. Standard library only."""

import json
import subprocess

from client import FOLDER, pinned


class Limits:
    """Measures FMA peak and read bandwidth on the same CPUs as the contestants, in every round."""

    def __init__(self, cache, job, threads, cpus, say):
        self.program = build(cache, say)
        self.threads, self.cpus, self.bytes = threads, cpus, read_bytes(job)
        self.fma_gflops, self.read_gb_s = [], []
        self.read_scaling = []  # read bandwidth of all threads over that of one

    def measure(self):
        """Adds one measurement of each; nothing where limits.cpp could not be built."""
        if not self.program:
            return
        measured = self.measure_with(self.threads)
        self.fma_gflops.append(measured["fma_gflops"])
        self.read_gb_s.append(measured["read_gb_s"])
        single = self.measure_with(1) if self.threads > 1 else measured
        self.read_scaling.append(measured["read_gb_s"] / single["read_gb_s"])

    def measure_with(self, threads):
        command = pinned(self.cpus, [self.program, threads, self.bytes])
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)


def build(cache, say):
    """limits.cpp compiled for this machine (it measures, it is not shipped), or None."""
    source, program = FOLDER / "limits.cpp", cache / "limits"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        flags = ["-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-pthread"]
        done = subprocess.run(
            ["c++", *flags, source, "-o", program], capture_output=True, text=True
        )
        if done.returncode:
            say(f"limits.cpp does not compile, no floor: {done.stderr.strip()}")
            return None
    return program


def read_bytes(job):
    """The buffer whose read bandwidth bounds the job: its data, or its optimizer's state."""
    if job.logistic:
        return job.data_bytes_per_sample * 1_000_000
    values = 3 if job.optimizer == "adam" else 2
    return 4 * values * job.parameters


def bounds(job, fma_gflops, read_gb_s):
    """Samples a second that the machine's limits allow, by what limits them."""
    compute = fma_gflops * 1e9 / job.flop_per_sample
    if job.logistic:
        return {"read bandwidth": read_gb_s * 1e9 / job.data_bytes_per_sample, "FMA peak": compute}
    # The update reads and writes weights and moments once a step; gradients may stay in cache.
    step_bytes = 2 * read_bytes(job)
    return {"FMA peak": compute, "update's traffic": read_gb_s * 1e9 / step_bytes * job.batch}
