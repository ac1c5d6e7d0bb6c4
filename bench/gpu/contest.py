"""The jobs timed on the GPU, turn by turn: Lockstep, its serial CPU baseline, PyTorch.

A figure is the median over the rounds, a ratio the median of the rounds' ratios. Standard library
only.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import gpu_jobs
import parity
from client import Library, PeerError
from gpu_jobs import GPU_JOBS
from gpu_ours import GpuLockstep, contestants
from report import best_of, middle, rate, ratio

FOLDER = Path(__file__).resolve().parent
CHANCE = 0.2  # twice that of ten classes: asked of random data, which no job is tuned for


@dataclass(frozen=True)
class Data:
    """Where the jobs' data are."""

    mnist: Path | None = None  # the folder; None: random rows
    cifar: Path | None = None  # a file of records (cifar.py)
    cifar_is_random: bool = True

    def is_published(self, job):
        """Whether the job's accuracy can be asked for."""
        if job.data == "cifar10":
            return not self.cifar_is_random
        return bool(self.mnist) or job.logistic


@dataclass(frozen=True)
class Settings:
    rounds: int = 3
    round_seconds: float = 0.3
    budget: float = 450  # seconds: jobs begun later are left out
    compile_seconds: int = 240  # for one contestant to get ready
    autotune: bool = False  # PyTorch's max-autotune as well


class TorchProcess(Library):
    """serve_torch.py, asked as bench/peers asks its libraries."""

    def __init__(self, python, data, cache):
        self.name = "PyTorch"
        cache.mkdir(parents=True, exist_ok=True)
        self.log = (cache / "torch-gpu.log").open("w")
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor")}
        words = [python, FOLDER / "serve_torch.py", "--cifar", data.cifar]
        words += ["--mnist", data.mnist] if data.mnist else []
        self.process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, env=environment, text=True, bufsize=1,
        )  # fmt: skip


class GpuPeer:
    """One way to write one job with PyTorch."""

    peer = True

    def __init__(self, library, job, name, precision, settings):
        self.library, self.job, self.name, self.precision = library, job, name, precision
        self.settings = settings

    def prepare(self, round_seconds):
        reply = self.library.ask(
            self.settings.compile_seconds, do="prepare", job=self.job.name, variant=self.name,
            precision=self.precision,
        )  # fmt: skip
        self.accuracy = reply["accuracy"]
        self.epochs = max(1, round(round_seconds / max(reply["epoch_seconds"], 1e-6)))

    def measure(self):
        """Samples a second."""
        reply = self.library.ask(do="time", variant=self.name, epochs=self.epochs)
        return reply["samples"] / reply["seconds"]


def attempt(contestant, action, log, *values):
    """The action's result, or None and the reason noted."""
    if contestant.error:
        return None
    try:
        return action(*values)
    except (PeerError, KeyError, TypeError, ValueError) as error:
        contestant.error = str(error) if isinstance(error, PeerError) else repr(error)
        log.say(f"      {contestant.name} failed: {contestant.error}")
        return None


def measure_job(job, entrants, settings, log):
    """Warms everyone up, then takes turns; the CPU, far slower, takes one."""
    for entrant in entrants:
        entrant.error, entrant.accuracy, entrant.rounds, entrant.apart = None, None, [], None
        attempt(entrant, entrant.prepare, log, settings.round_seconds)
    for number in range(settings.rounds):
        for entrant in entrants:
            if number == 0 or getattr(entrant, "device", None) != "cpu":
                entrant.rounds.append(attempt(entrant, entrant.measure, log))
    return [
        {
            "name": e.name,
            "peer": e.peer,
            "compared": True,
            "precision": e.precision,
            "on_cpu": getattr(e, "device", None) == "cpu",
            "accuracy": e.accuracy,
            "error": e.error,
            "rounds": e.rounds,
            "apart": e.apart,
        }
        for e in entrants
    ]


def summarize(job, figures, accuracy, limits):
    """The cell as a dictionary: figures, ratios to PyTorch's best way and to the CPU, floor."""
    for figure in figures:
        figure["samples_per_second"] = middle(figure["rounds"])
        figure["accurate"] = (figure["accuracy"] or 0) >= accuracy
        speed = figure["samples_per_second"]
        figure["us_per_step"] = speed and 1e6 * job.batch / speed
    cpu = next((f for f in figures if f["on_cpu"] and f["samples_per_second"]), None)
    cell = {"job": job.name, "batch": job.batch, "contestants": figures, "ratios": []}
    for ours in figures:
        if ours["peer"] or ours["on_cpu"] or not ours["samples_per_second"]:
            continue
        best = best_of(figures, ours["precision"])
        entry = {
            "ours": ours["name"],
            "best_peer": best and best["name"],
            "ratio": best and ratio(ours["rounds"], best["rounds"]),
            "times_cpu": cpu and ours["samples_per_second"] / cpu["samples_per_second"],
            "floor": None,
        }
        if limits:
            entry["floor"] = gpu_jobs.floor(job, ours["precision"], limits)
            entry["floor_share"] = max(entry["floor"].values()) / ours["us_per_step"]
        cell["ratios"].append(entry)
    return cell


def render(cell):
    lines = [f"    {cell['job']}, batch {cell['batch']}"]
    lines.append(f"      {'':34}{'us/step':>10}{'samples/s':>11}  accuracy")
    for figure in sorted(cell["contestants"], key=lambda f: f["us_per_step"] or float("inf")):
        if figure["error"]:
            lines.append(f"      {figure['name']:34}{'-':>10}  not measured: {figure['error']}")
            continue
        remark = "" if figure["accurate"] else "  INACCURATE, not compared"
        lines.append(
            f"      {figure['name']:34}{figure['us_per_step']:10.2f}"
            f"{rate(figure['samples_per_second']):>11}  {figure['accuracy']:.4f}{remark}"
        )
    for entry in cell["ratios"]:
        words = [f"      {entry['ours']}:"]
        if entry["ratio"]:
            words.append(f"{entry['ratio']:.2f} x the best of PyTorch ({entry['best_peer']}),")
        if entry["times_cpu"]:
            words.append(f"{entry['times_cpu']:.0f} x the serial CPU,")
        if entry["floor"]:
            limit = max(entry["floor"], key=entry["floor"].get)
            words.append(f"{100 * entry['floor_share']:.0f} % of the floor ({limit})")
        lines.append(" ".join(words).rstrip(","))
    return "\n".join(lines)


def peers_of(job, library, precisions, settings, log):
    if not library:
        return [], {}
    try:
        reply = library.ask(do="variants", job=job.name, precisions=precisions,
                            autotune=settings.autotune)  # fmt: skip
    except PeerError as error:
        log.say(f"    PyTorch is left out: {error}")
        return [], {}
    found = reply["variants"].items()
    return [GpuPeer(library, job, *item, settings) for item in found], reply["versions"]


def bench_stage(build, python, why, data, log, settings, machine):
    """All jobs, or those that the budget allows."""
    result = {"rounds": settings.rounds, "round_seconds": settings.round_seconds, "cells": [],
              "limits": None, "versions": {}, "left_out": [], "failures": []}  # fmt: skip
    result["data"] = {
        "mnist": "MNIST" if data.mnist else "random, of MNIST's shape",
        "cifar10": "random, of CIFAR-10's shape" if data.cifar_is_random else "CIFAR-10",
    }
    if not python:
        log.say(f"    PyTorch is left out: {why}")
        result["left_out"].append(f"PyTorch: {why}")
    begin = time.monotonic()
    library = TorchProcess(python, data, build.folder / "gpu-check") if python else None
    try:
        if library:
            result["limits"] = attempt_limits(library, log)
        for job in GPU_JOBS.values():
            if time.monotonic() - begin > settings.budget:
                log.say(f"    {job.name} is left out: {settings.budget:.0f} s are spent")
                result["left_out"].append(f"{job.name}: budget spent")
                continue
            offered = [p for p in gpu_jobs.precisions_of(job) if p in parity.precisions_of(machine)]
            peers, versions = peers_of(job, library, offered, settings, log)
            result["versions"] |= versions
            ours = contestants(job, build, data, offered)
            cpu = GpuLockstep(job, build, data, device="cpu")
            figures = measure_job(job, [*ours, cpu, *peers], settings, log)
            accuracy = job.accuracy if data.is_published(job) else CHANCE
            cell = summarize(job, figures, accuracy, result["limits"])
            result["cells"].append(cell)
            result["failures"] += failures_of(cell)
            log.say(render(cell))
            if library:
                library.forget()
    finally:
        if library:
            library.close()
    return result


def attempt_limits(library, log):
    try:
        limits = library.ask(do="limits")
    except PeerError as error:
        log.say(f"    no floor: {error}")
        return None
    products = ", ".join(f"{name} {value:.0f}" for name, value in limits["tflops"].items())
    log.say(f"    limits: {limits['copy_gb_s']:.0f} GB/s copied, TFLOP/s of a product: {products}")
    return limits


def failures_of(cell):
    """Ours must run and learn; what PyTorch does is its own matter."""
    return [
        f"{cell['job']}, {f['name']}: {f['error'] or 'accuracy ' + str(f['accuracy'])}"
        for f in cell["contestants"]
        if not f["peer"] and (f["error"] or not f["accurate"])
    ]
