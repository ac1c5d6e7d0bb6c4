"""The same training on CPU and GPU: losses of each epoch, and the final parameters.

Both start from the same weights and take the same samples and dropout masks, so that they differ by
rounding alone. Standard library only.
"""

import array
import json
import math
import os
import struct
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from build import ROOT


@dataclass(frozen=True)
class Job:
    name: str
    options: tuple[str, ...]
    epochs: int = 3
    loss_limit: float = 1e-4  # largest difference of a loss, relative to it
    parameter_limit: float = 1e-4  # root mean square of the differences, relative to the values'


# Adam divides by the root of a gradient's square: where gradients are next to nothing, rounding
# decides which way a weight goes.
ADAM = {"loss_limit": 1e-3, "parameter_limit": 1e-3}
JOBS = (
    Job("logistic", ("--data", "synthetic:n=20000,d=20", "--model", "logistic",
                     "--batch-size", "512")),
    Job("softmax-digits", ("--data", "digits", "--model", "logistic")),
    Job("mlp-digits", ("--data", "digits", "--hidden", "64,32", "--momentum", "0.9")),
    Job("adam-dropout-digits", ("--data", "digits", "--hidden", "64,32", "--optimizer", "adam",
                                "--dropout", "0.2", "--weight-decay", "1e-5"), **ADAM),
    Job("cnn-digits", ("--data", "digits", "--layers", "conv 16 3 pad 1, relu, maxpool 2, "
                       "dropout 0.1, conv 24 2, relu, avgpool 3 stride 1, flatten, linear 10",
                       "--momentum", "0.9", "--augment", "flip,crop:1")),
)  # fmt: skip
MNIST_JOBS = (
    Job("mlp-mnist", ("--hidden", "256,128", "--momentum", "0.9", "--batch-size", "256"), 1),
    Job("adam-dropout-mnist", ("--hidden", "512,256,128", "--optimizer", "adam", "--dropout", "0.2",
                               "--weight-decay", "1e-5", "--batch-size", "32",
                               "--samples", "12800"), 1, **ADAM),
)  # fmt: skip

# Products of operands with 11 and 8 bits: not the CPU's training, and near it.
LOOSE = {"tf32": (0.1, 0.1), "bf16": (0.2, 0.2)}


def jobs(mnist, quick):
    """Those that there is data for."""
    if quick:
        return [replace(job, options=(*job.options, "--samples", "300"), epochs=1) for job in JOBS]
    data = ("--data", f"mnist:{mnist}") if mnist else ()
    return [*JOBS, *(replace(j, options=(*data, *j.options)) for j in MNIST_JOBS if mnist)]


def tensors(path):
    """{name: float32 values} of a safetensors file."""
    raw = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
        values = array.array("f")
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values.frombytes(raw[begin:end])
        if sys.byteorder == "big":
            values.byteswap()
        found[name] = values
    return found


def train(build, log, job, device, precision, folder, seconds=300):
    """(runs[0] of the document, tensors) of one training."""
    out = Path(folder) / f"{job.name}-{device}-{precision}"
    command = [
        build.program, "train", *job.options, "--epochs", job.epochs, "--device", device,
        "--precision", precision, "--out", out, "--quiet",
    ]  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LOCKSTEP_")}
    code, output = log.run(command, seconds, clean)
    if code:
        last = (output.strip().splitlines() or ["no output"])[-1]
        raise RuntimeError(f"{device} {precision}: exit code {code}: {last}")
    if code is None:
        raise RuntimeError(f"{device} {precision}: no result in {seconds} s")
    run = json.loads((out / "result.json").read_text())["runs"][0]
    return run, tensors(out / "model.safetensors")


def difference(a, b):
    """|a - b|; infinite where either is not finite (None in JSON), which max() would pass over."""
    gap = math.inf if a is None or b is None else abs(a - b)
    return gap if gap == gap else math.inf


def loss_difference(cpu, gpu):
    """Largest difference of an epoch's or the final losses, relative to the CPU's."""
    worst = 0.0
    pairs = [*zip(cpu["epochs"], gpu["epochs"], strict=True), (cpu["final"], gpu["final"])]
    for expected, actual in pairs:
        for name in ("train_loss", "test_loss"):
            if expected[name] is None:
                continue
            gap = difference(actual[name], expected[name])
            worst = max(worst, gap / max(abs(expected[name]), 1e-6))
    return worst


def parameter_difference(cpu, gpu):
    """Of all parameters together: |cpu - gpu| / |cpu|, Euclidean norms."""
    assert cpu.keys() == gpu.keys(), "different tensors"
    squares = scale = 0.0
    for name, expected in cpu.items():
        assert len(expected) == len(gpu[name]), name
        squares += sum(difference(a, b) ** 2 for a, b in zip(expected, gpu[name]))
        scale += sum(value**2 for value in expected)
    return math.sqrt(squares / scale)


def compare(job, precision, cpu, gpu):
    """One check a quantity: name, measured, limit, passed."""
    loss_limit, parameter_limit = LOOSE.get(precision, (job.loss_limit, job.parameter_limit))
    quantities = (
        ("losses", loss_difference(cpu[0], gpu[0]), loss_limit),
        ("parameters", parameter_difference(cpu[1], gpu[1]), parameter_limit),
    )
    return [
        {
            "name": f"{job.name}, {precision}: {what}",
            "passed": measured <= limit,
            "measured": measured if measured < math.inf else None,
            "limit": limit,
        }
        for what, measured, limit in quantities
    ]


def precisions_of(machine):
    """Those that the first GPU computes in: tensor cores for TF32 and bf16 came with 8.0."""
    major = int(machine["gpus"][0]["compute_capability"].split(".")[0])
    return ("fp32", "tf32", "bf16") if major >= 8 else ("fp32",)


def parity_stage(build, machine, mnist, log, quick):
    result = {"checks": [], "failures": [], "mnist": mnist and str(mnist)}
    if not mnist:
        log.say(f"    without MNIST ({ROOT / 'data' / 'mnist'}, or --mnist DIR): digits alone")
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs(mnist, quick):
            try:
                cpu = train(build, log, job, "cpu", "fp32", folder)
                for precision in precisions_of(machine):
                    gpu = train(build, log, job, "cuda", precision, folder)
                    result["checks"] += compare(job, precision, cpu, gpu)
            except RuntimeError as error:
                result["failures"].append(f"{job.name}: {error}")
    for check in result["checks"]:
        mark = "ok  " if check["passed"] else "FAIL"
        measured = "not finite" if check["measured"] is None else f"{check['measured']:.1e}"
        log.say(f"    {mark} {check['name']:40} differ by {measured}, limit {check['limit']:.0e}")
        if not check["passed"]:
            result["failures"].append(f"{check['name']} differ by {measured}")
    return result
