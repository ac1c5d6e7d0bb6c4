"""NCCL between processes: their sums against one GPU's, the loss of a rank, and how work scales.

On a machine with one GPU all ranks share it, by NCCL's own recipe for that: it shows that answers
and failures are right, never how fast. Where there are several GPUs, each rank has its own, and
scaling is measured. Processes are started as torchrun starts them. Standard library only.
"""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# So that ranks share one GPU: sockets between processes that take themselves for hosts of their own
# (NCCL_HOSTID), a ring in one protocol.
SHARED = {
    "NCCL_NET": "Socket", "NCCL_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1",
    "NCCL_P2P_DISABLE": "1", "NCCL_SHM_DISABLE": "1", "NCCL_NVLS_ENABLE": "0",
    "NCCL_MNNVL_ENABLE": "0", "NCCL_RAS_ENABLE": "0", "NCCL_ALGO": "Ring", "NCCL_PROTO": "Simple",
    "NCCL_MAX_NCHANNELS": "2", "CUDA_MODULE_LOADING": "EAGER",
}  # fmt: skip

# A collective takes 10 ms there: few steps, few buckets.
JOB = ("--data", "digits", "--hidden", "64,32", "--momentum", "0.9", "--batch-size", "128",
       "--epochs", "2", "--device", "cuda", "--seed", "3")  # fmt: skip
ENDLESS = ("--data", "digits", "--hidden", "16", "--batch-size", "128", "--epochs", "1000000",
           "--eval-every", "1000000", "--device", "cuda", "--lr", "0.001")  # fmt: skip
START_SECONDS = 120
TIMEOUT = 5  # --comm-timeout of the job that loses a rank
GRACE = 5  # and what its end may take beyond that


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ranks:
    """The processes of one job, each with its output in files."""

    def __init__(self, build, log, count, gpus, options, folder):
        self.folder, self.processes, self.log = Path(folder), [], log
        port = free_port()
        for rank in range(count):
            shared = SHARED | {"NCCL_HOSTID": f"r{rank}"} if gpus < count else {}
            clean = {k: v for k, v in os.environ.items() if not k.startswith("LOCKSTEP_")}
            variables = {
                "RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
                "LOCAL_RANK": str(rank if gpus >= count else 0), "LOCAL_WORLD_SIZE": str(count),
                "LOCKSTEP_PORT": str(port), "TORCHELASTIC_ERROR_FILE": str(self.path(rank, "error")),
            }  # fmt: skip
            if gpus < count:
                variables["LOCAL_WORLD_SIZE"] = "1"
                variables["CUDA_VISIBLE_DEVICES"] = "0"
            words = [str(build.program), "train", *map(str, options)]
            self.processes.append(
                subprocess.Popen(
                    words, env=clean | shared | variables,
                    stdout=self.path(rank, "out").open("w"),
                    stderr=self.path(rank, "err").open("w"),
                )  # fmt: skip
            )
        log.keep(f"$ {count} ranks on {gpus} GPU(s): " + " ".join(map(str, options)))

    def path(self, rank, what):
        return self.folder / f"rank{rank}.{what}"

    def text(self, rank, what):
        return self.path(rank, what).read_text(errors="replace")

    def wait(self, seconds):
        """Exit codes; None of a rank that had to be killed."""
        end = time.monotonic() + seconds
        codes = []
        for process in self.processes:
            try:
                codes.append(process.wait(max(0.1, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append(None)
        self.end()
        return codes

    def end(self):
        for rank, process in enumerate(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
            self.log.keep(f"rank {rank}: {self.text(rank, 'err').strip()} [{process.returncode}]")

    def wait_for_training(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if "epoch " in self.text(0, "err"):
                return
            if any(p.poll() is not None for p in self.processes):
                break
            time.sleep(0.05)
        self.end()
        raise RuntimeError("ranks did not begin to train: " + self.text(0, "err")[-300:])


def hash_alone(build, log, parts):
    code, output = log.run(
        [build.program, "train", *JOB, "--strategy", "serial", "--accumulate", parts, "--json",
         "--quiet"], START_SECONDS)  # fmt: skip
    if code != 0:
        raise RuntimeError(f"one GPU: exit code {code}: {output.strip()[-200:]}")
    return json.loads(output[output.index("{") :])["runs"][0]["parameters_sha256"]


def hash_together(build, log, count, gpus, options):
    with tempfile.TemporaryDirectory() as folder:
        ranks = Ranks(build, log, count, gpus, (*JOB, *options, "--json", "--quiet"), folder)
        codes = ranks.wait(START_SECONDS)
        if any(codes):
            raise RuntimeError(f"exit codes {codes}: {ranks.text(0, 'err').strip()[-300:]}")
        return json.loads(ranks.text(0, "out"))["runs"][0]["parameters_sha256"]


def bits(build, log, count, gpus, options):
    """Whether ranks give the bits of one GPU that takes their shares one after the other."""
    alone = hash_alone(build, log, count)
    together = hash_together(build, log, count, gpus, options)
    return None if together == alone else f"{together[:16]} is not {alone[:16]}"


def loss(build, log, gpus, how):
    """What is wrong with how two ranks end when one of them is lost; None: nothing."""
    with tempfile.TemporaryDirectory() as folder:
        ranks = Ranks(build, log, 2, gpus, (*ENDLESS, "--comm-timeout", TIMEOUT), folder)
        ranks.wait_for_training()
        ranks.processes[1].send_signal(how)
        begin = time.monotonic()
        try:
            code = ranks.processes[0].wait(TIMEOUT + GRACE + 20)
        except subprocess.TimeoutExpired:
            code = None
        took = time.monotonic() - begin
        ranks.end()
        if code != 5:
            return f"exit code {code}, not 5"
        if took > TIMEOUT + GRACE:
            return f"took {took:.1f} s"
        return None if "error: " in ranks.text(0, "err") else "no error was told"


def scaling(build, log, gpus, mnist, quick):
    """Samples a second of 1, 2, 4 and 8 GPUs in one process: the same batch, and the same a GPU."""
    counts = [n for n in (1, 2, 4, 8) if n <= gpus]
    data = ("--data", f"mnist:{mnist}", "--hidden", "256,128") if mnist else ("--data", "digits")
    rows = []
    for kind, batch in (("strong", ("--batch-size", 8192)), ("weak", ("--per-worker-batch", 4096))):
        for count in counts:
            for extra in ((), ("--overlap", "off"), ("--bucket-mb", "0")) if count > 1 else ((),):
                options = [*data, *batch, *extra, "--workers", count, "--device", "cuda",
                           "--epochs", 2 if quick else 20, "--eval-every", 1000, "--json",
                           "--quiet"]  # fmt: skip
                code, output = log.run([build.program, "train", *options], START_SECONDS)
                if code != 0:
                    raise RuntimeError(f"{count} GPUs: exit code {code}")
                run = json.loads(output[output.index("{") :])["runs"][0]
                rows.append({
                    "kind": kind, "gpus": count, "options": " ".join(map(str, extra)),
                    "seconds": run["train_seconds"],
                    "samples_per_second": run["samples_per_second"],
                    "communication": run["time"]["communication"],
                    "exposed_communication": run["time"]["exposed_communication"],
                })  # fmt: skip
    return rows


def ranks_stage(build, machine, mnist, log, quick):
    gpus = len(machine["gpus"])
    result = {"gpus": gpus, "checks": [], "failures": [], "scaling": []}

    def check(name, function):
        try:
            problem = function()
        except RuntimeError as error:
            problem = str(error)
        result["checks"].append({"name": name, "passed": problem is None, "problem": problem})
        log.say(f"    {'ok  ' if problem is None else 'FAIL'} {name}" +
                (f": {problem}" if problem else ""))  # fmt: skip
        if problem:
            result["failures"].append(f"{name}: {problem}")

    shared = " on one GPU" if gpus == 1 else ""
    check(f"2 ranks{shared}, ncclAllReduce: the bits of one GPU",
          lambda: bits(build, log, 2, gpus, ()))  # fmt: skip
    check(f"2 ranks{shared}, buckets and no overlap: the same",
          lambda: bits(build, log, 2, gpus, ("--bucket-mb", "0.01", "--overlap", "off")))  # fmt: skip
    check(f"4 ranks{shared}, --deterministic: the bits of one GPU",
          lambda: bits(build, log, 4, gpus, ("--deterministic",)))  # fmt: skip
    check("a rank that is killed", lambda: loss(build, log, gpus, signal.SIGKILL))
    check("a rank that is stopped", lambda: loss(build, log, gpus, signal.SIGSTOP))
    if gpus > 1 and not machine["gpus"][0]["emulated"]:
        result["scaling"] = scaling(build, log, gpus, mnist, quick)
        for row in result["scaling"]:
            log.say(f"    {row['kind']:6} {row['gpus']} GPUs {row['options']:14} "
                    f"{row['samples_per_second']:.3g} samples/s")  # fmt: skip
    return result
