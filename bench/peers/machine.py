"""What the machine is, which of its cores to use, whether it is quiet. Standard library only."""

import os
import platform
import re
import time
from pathlib import Path

NOTABLE_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "asimd",
    "sve",
)


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def field(text, name):
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def describe():
    cpuinfo = read("/proc/cpuinfo")
    flags = (field(cpuinfo, "flags") or field(cpuinfo, "Features")).split()
    memory = re.search(r"\d+", field(read("/proc/meminfo"), "MemTotal"))
    caches = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = read(cache / "type").strip()
        if kind != "Instruction":
            caches["L" + read(cache / "level").strip()] = read(cache / "size").strip()
    return {
        "cpu": field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        "family_model_stepping": [field(cpuinfo, n) for n in ("cpu family", "model", "stepping")],
        "cpus": os.cpu_count(),
        "instructions": [flag for flag in NOTABLE_FLAGS if flag in flags],
        "caches": caches,
        "memory_bytes": int(memory.group()) * 1024 if memory else None,
        "virtual": "hypervisor" in flags,
        "kernel": platform.release(),
    }


def slug(cpu):
    """intel-xeon from "Intel(R) Xeon(R) Processor"."""
    words = re.sub(r"\(.*?\)|@.*|\bcpu\b|\bprocessor\b", " ", cpu.lower())
    return "-".join(re.findall(r"[a-z0-9]+", words)) or "cpu"


def pick_cpus(count):
    """So many CPUs on cores of their own, the highest first (CPU 0 gets most interrupts)."""
    cores = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.strip() or str(cpu), cpu)
    return sorted(cores.values(), reverse=True)[:count]


def cpu_times():
    """(busy, all) ticks of the whole machine since it started; stolen time is busy."""
    ticks = [int(word) for word in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def busy_fraction(seconds=1.0):
    """Share of the machine's CPU time that other processes take while this one sleeps."""
    busy, total = cpu_times()
    time.sleep(seconds)
    busy_now, total_now = cpu_times()
    return (busy_now - busy) / max(1, total_now - total)
