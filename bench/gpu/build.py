"""The build under test: its programs, the libraries that they miss, the GPU.

Standard library only.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLKITS = ("/usr/local/cuda", "/usr/local/cuda-*", "/opt/cuda")


class Unusable(Exception):
    """Nothing can be checked: what is the matter, with the remedy. `code` is the exit code."""

    def __init__(self, text, code=1):
        super().__init__(text)
        self.code = code


class Build:
    """A build folder; it may have been made elsewhere, and hold the programs alone."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.program = self.find("lockstep")
        if not self.program:
            raise Unusable(f"{folder} holds no program lockstep: it is no build of Lockstep")

    def find(self, name):
        """The executable of that name, or None. Tests lie two folders deep."""
        for depth in ("", "*/", "*/*/"):
            for path in sorted(self.folder.glob(depth + name)):
                if path.is_file() and os.access(path, os.X_OK):
                    return path
        return None

    def document(self, *arguments):
        """The JSON document that the program prints."""
        command = [self.program, *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        try:
            return json.loads(done.stdout)
        except ValueError:
            reason = done.stderr.strip() or f"exit code {done.returncode}"
            raise Unusable(f"{self.program} does not run: {reason}") from None

    def version(self):
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True)
        return done.stdout.strip().splitlines()

    def has_option(self, name):
        """Whether `lockstep train` of this build takes it."""
        done = subprocess.run([self.program, "train", "--help"], capture_output=True, text=True)
        return re.search(rf"^\s*{name}\b", done.stdout, re.MULTILINE) is not None


def newest_build():
    """The newest build for GPUs under build*/; raises Unusable where there is none."""
    places = [ROOT, *map(Path, filter(None, [os.environ.get("LOCKSTEP_BUILD_ROOT")]))]
    found = []
    for header in (h for p in places for h in p.glob("build*/generated/backend/cuda_build.h")):
        folder = header.parents[2]
        program = folder / "lockstep"
        if "kCudaEmulated = false" in header.read_text() and program.exists():
            found.append((program.stat().st_mtime, folder))
    if not found:
        raise Unusable(
            "no build with CUDA under build*/\n"
            "  -> make one where the CUDA toolkit is: cmake --preset cuda && "
            "cmake --build build-cuda\n"
            "  -> or name one that was made elsewhere: --build FOLDER"
        )
    return Build(max(found)[1])


def missing_libraries(program):
    """The shared libraries that the dynamic linker does not find for the program."""
    traced = subprocess.run(
        [program], env=os.environ | {"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True
    )
    return re.findall(r"^\s*(\S+) => not found", traced.stdout, re.MULTILINE)


def library_folders(pythons):
    """Where CUDA's libraries may be: toolkits, and NVIDIA's wheels of each Python."""
    folders = [f for root in TOOLKITS for f in sorted(glob.glob(root + "/lib64"), reverse=True)]
    ask = "import site, sys; print(*site.getsitepackages(), site.getusersitepackages(), sep='\\n')"
    for python in pythons:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
        for packages in done.stdout.split("\n")[:-1]:
            folders += sorted(glob.glob(f"{packages}/nvidia/*/lib"))
    return folders


def provide_libraries(programs, pythons):
    """Extends LD_LIBRARY_PATH, for all that is started from here on, by what the programs miss.

    Returns the folders added. Raises Unusable where a library is nowhere.
    """
    added = []
    missing = {name for program in programs for name in missing_libraries(program)}
    for name in sorted(missing):
        homes = [f for f in library_folders(pythons) if (Path(f) / name).exists()]
        if not homes:
            continue
        if homes[0] not in added:
            added.append(homes[0])
    if added:
        before = filter(None, [os.environ.get("LD_LIBRARY_PATH")])
        os.environ["LD_LIBRARY_PATH"] = ":".join([*added, *before])
    left = sorted({name for program in programs for name in missing_libraries(program)})
    if left:
        raise Unusable(
            f"shared libraries are missing: {', '.join(left)}\n"
            "  -> install the CUDA toolkit's libraries, or NVIDIA's wheels (python3 -m pip install "
            "nvidia-cublas), or the distribution's package of the library"
        )
    return added


def pythons(given):
    """Interpreters that may have PyTorch: the given one alone, else those known here."""
    if given:
        return [str(given)]
    known = [sys.executable, shutil.which("python3"), ROOT / "bench" / "peers" / ".venv/bin/python"]
    return list(dict.fromkeys(str(p) for p in known if p and Path(p).exists()))


def python_with_torch(candidates):
    """(interpreter, {versions}, "") of the first that has PyTorch, or (None, {}, why not)."""
    ask = (
        "import json, torch; print(json.dumps({'torch': torch.__version__, "
        "'torch_cuda': torch.version.cuda, 'gpu': torch.cuda.is_available()}))"
    )
    reasons = []
    for python in candidates:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
        if done.returncode == 0:
            return python, json.loads(done.stdout.splitlines()[-1]), ""
        reasons.append(f"{python}: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
    return None, {}, "no PyTorch (" + "; ".join(reasons) + ")"


def find_sanitizer():
    """compute-sanitizer, or None."""
    found = shutil.which("compute-sanitizer")
    if found:
        return found
    for root in TOOLKITS:
        for place in ("bin/compute-sanitizer", "compute-sanitizer/compute-sanitizer"):
            for path in sorted(glob.glob(f"{root}/{place}"), reverse=True):
                if os.access(path, os.X_OK):
                    return path
    return None


def require_gpu(build, emulated):
    """The machine's description, once its GPU is usable; raises Unusable (exit code 4) else."""
    document = build.document("doctor")
    machine = document["machine"]
    findings = {finding["name"]: finding for finding in document["doctor"]}
    gpus = machine.get("gpus") or []
    bad = findings.get("GPU 0") if gpus else findings["CUDA"]
    if not gpus or bad["verdict"] == "FAIL":
        remedy = f"\n  -> {bad['remedy']}" if bad["remedy"] else ""
        raise Unusable(f"no GPU that can be used: {bad['detail']}{remedy}", code=4)
    if gpus[0]["emulated"] and not emulated:
        raise Unusable(
            "this build emulates its GPU on the CPU\n"
            "  -> take one with CUDA (--build FOLDER), or rehearse with --emulated",
            code=4,
        )
    return machine


def driver_version():
    """NVIDIA's driver, as nvidia-smi gives it; None where it cannot be asked."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or None
