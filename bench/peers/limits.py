"""The floor of a job on this machine, from limits that lockstep_limits measures beside it.

Standard library only.
"""

import json
import subprocess

from client import pinned


SECONDS = 0.15  # for each of the measurements


class Limits:
    """Measures FMA peak and read bandwidth on the same CPUs as the contestants, in every round."""

    def __init__(self, program, job, threads, cpus):
        """program: lockstep_limits, or None: then nothing is measured."""
        counts = "1" if threads == 1 else f"1,{threads}"
        options = ["--bytes", read_bytes(job), "--seconds", SECONDS, "--threads", counts]
        self.command = program and pinned(cpus, [program, *options])
        self.threads = str(threads)
        self.fma_gflops, self.read_gb_s = [], []
        self.read_scaling = []  # read bandwidth of all threads over that of one

    def measure(self):
        """Adds one measurement of each."""
        if not self.command:
            return
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=60, check=True)
        measured = json.loads(done.stdout)
        read = measured["read_gbytes_per_second"]
        self.fma_gflops.append(measured["fma_gflops"][self.threads])
        self.read_gb_s.append(read[self.threads])
        self.read_scaling.append(read[self.threads] / read["1"])


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
