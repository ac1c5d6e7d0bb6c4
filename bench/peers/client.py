"""A peer's process as seen from outside: started, asked, ended. Standard library only."""

import json
import os
import select
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARIES = ("numpy", "torch", "torch_ddp", "jax", "sklearn")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",  # JAX's intra-op pool
)


class PeerError(Exception):
    pass


def pinned(cpus, command):
    return ["taskset", "-c", ",".join(map(str, sorted(cpus))), *map(str, command)]


class Library:
    """serve.py for one library at one thread count."""

    def __init__(self, name, threads, cpus, places):
        self.name = name
        environment = os.environ | {variable: str(threads) for variable in THREAD_VARIABLES}
        environment |= {
            "PEERS_MNIST": str(places.mnist),
            "PEERS_CACHE": str(places.cache),
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
            "TORCHINDUCTOR_CACHE_DIR": str(places.cache / "inductor"),
            # Compile in the process itself: no pool of helpers beside the measurement.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
        }
        self.log = open(places.cache / f"{name}-{threads}.log", "w")
        self.process = subprocess.Popen(
            pinned(cpus, [places.python, FOLDER / "serve.py", name, threads]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
            bufsize=1,
        )

    def ask(self, timeout=300, **request):
        """The reply to one request; PeerError where the peer fails, ends or takes too long."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
        except (OSError, ValueError):  # a broken or a closed pipe
            raise PeerError(f"the process ended: see {self.log.name}") from None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            why = "the process ended" if ready else f"no reply in {timeout} s"
            self.close(patience=0)
            raise PeerError(f"{why}: see {self.log.name}")
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(f"{reply['error']}: see {self.log.name}")
        return reply

    def forget(self):
        """Frees what the last job took."""
        try:
            self.ask(do="forget")
        except PeerError:
            pass  # One that has ended says so at its next job.

    def close(self, patience=10):
        try:
            self.process.stdin.close()
            self.process.wait(patience)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.log.close()


class Peer:
    """One way to write one job with one library."""

    def __init__(self, library, job, variant):
        self.library, self.job, self.name = library, job, variant
        self.compared = library.name != "sklearn"
        self.precision = "bf16" if "bf16" in variant else "float32"

    def prepare(self, round_seconds):
        reply = self.library.ask(do="prepare", job=self.job.name, variant=self.name)
        self.accuracy, self.note = reply["accuracy"], reply["note"]
        self.chunks = max(1, round(round_seconds / max(reply["chunk_seconds"], 1e-6)))

    def measure(self):
        """Samples a second."""
        reply = self.library.ask(do="time", variant=self.name, chunks=self.chunks)
        return reply["samples"] / reply["seconds"]
