"""Trains on CPUs that this machine need not be: without AVX, and with nothing beyond SSE3.

Usage: old_cpu_test.py PROGRAM. QEMU's user mode stands in for the CPUs: an instruction that they
lack ends the program with SIGILL. Exit code 77: there is no qemu-x86_64, nothing was checked.
"""
import json
import shutil
import subprocess
import sys

QEMU = shutil.which("qemu-x86_64")
if not QEMU:
    print("SKIPPED: there is no qemu-x86_64 (package qemu-user)")
    sys.exit(77)

program = sys.argv[1]
TRAINING = ["train", "--data", "digits", "--hidden", "32", "--epochs", "2", "--json"]


def run(cpu, *arguments, expected_code=0):
    """The program's JSON document, on that CPU; on this machine's own where cpu is None."""
    command = [QEMU, "-cpu", cpu] if cpu else []
    result = subprocess.run([*command, program, *arguments], capture_output=True, text=True)
    assert result.returncode == expected_code, (cpu, arguments, result.returncode, result.stderr)
    return json.loads(result.stdout)


def loss_after(cpu, *mode):
    document = run(cpu, *TRAINING, *mode)
    return document["runs"][0]["final"]["train_loss"]


for mode in (["--strategy", "serial"], ["--strategy", "sync", "--workers", "2"]):
    here = loss_after(None, *mode)
    for cpu in ("qemu64", "Westmere"):
        there = loss_after(cpu, *mode)
        assert abs(there - here) < 1e-3 * here, (cpu, mode, there, here)
        print("trained:", cpu, *mode, there, "here", here)

run("qemu64", *TRAINING, "--precision", "bf16", expected_code=4)
run("qemu64", "doctor", "--json")
