"""Where things are: the peers' Python, the program, MNIST. Standard library only."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from client import FOLDER

ROOT = FOLDER.parent.parent


@dataclass(frozen=True)
class Places:
    cache: Path
    python: Path | None  # the peers'
    program: Path | None  # lockstep
    limits: Path | None  # lockstep_limits
    mnist: Path | None


def find_places(arguments, say):
    cache = FOLDER / ".cache"
    cache.mkdir(exist_ok=True)
    program = find_program(arguments.lockstep)
    limits = find_limits(arguments.limits, program)
    if not program:
        say("lockstep was not found (build it, or --lockstep PATH): the peers alone are measured")
    if not limits:
        say("lockstep_limits was not found (build it, or --limits PATH): no floor")
    python = make_python(arguments.venv, say)
    return Places(cache, python, program, limits, find_mnist(arguments.mnist))


def make_python(venv, say):
    """The Python of the peers' environment, or None. Installs what requirements.txt pins, once."""
    python, done = venv / "bin" / "python", venv / "installed.txt"
    wanted = (FOLDER / "requirements.txt").read_text()
    if done.exists() and done.read_text() == wanted:
        return python
    say(f"making {venv} (once: some minutes, and up to 6 GB for PyPI's PyTorch)")
    if subprocess.run([sys.executable, "-m", "venv", venv]).returncode:
        say("no Python environment (Debian: apt-get install python3-venv): no peers")
        return None
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    packages = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    missing = [package for package in packages if subprocess.run([*pip, package]).returncode]
    if missing:
        say(f"not installed, left out: {', '.join(missing)}")
    else:
        done.write_text(wanted)
    return python


def find_program(given):
    """The `lockstep` to measure: the given one, else the newest under build*/; or None."""
    if given:
        return given.resolve() if given.exists() else None
    found = [p for p in ROOT.glob("build*/**/lockstep") if p.is_file() and os.access(p, os.X_OK)]
    return max(found, key=lambda program: program.stat().st_mtime, default=None)


def find_limits(given, program):
    """lockstep_limits: the given one, else that of the build that `program` is from; or None."""
    if given:
        return given.resolve() if given.exists() else None
    builds = [*program.parents] if program else [*ROOT.glob("build*")]
    found = [build / "bench" / "lockstep_limits" for build in builds]
    return next((limits for limits in found if limits.exists()), None)


def find_mnist(given):
    """The folder of MNIST's four files: given, else where Lockstep's tests look; or None."""
    cache = os.environ.get("LOCKSTEP_DATA", Path.home() / ".cache" / "lockstep")
    folders = [Path(f) / "mnist" for f in (cache, ROOT / "data", ROOT.parent / "shared" / "data")]
    for folder in [given] if given else folders:
        if list(folder.glob("train-images-idx3-ubyte*")):
            return folder.resolve()
    return None


def jobs_with_data(jobs, places, say):
    """Makes the synthetic files, and leaves out the jobs that have no data."""
    write = [places.python, FOLDER / "data.py", places.cache]
    made = places.python and not subprocess.run(write).returncode
    there = {"synthetic": made, "mnist": places.mnist}
    remedy = {"synthetic": "it needs NumPy", "mnist": "`lockstep data fetch mnist`, or --mnist DIR"}
    for job in jobs:
        if not there[job.data]:
            say(f"{job.name} is left out: no data ({remedy[job.data]})")
    return [job for job in jobs if there[job.data]]
