"""Everything that a GPU must show, in one go: tests, compute-sanitizer, parity with the CPU, NCCL
between processes, and the benchmarks beside PyTorch. scripts/gpu-check starts it. Standard library only.
"""

import argparse
import datetime
import json
import platform
import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))

import build as builds  # noqa: E402
import cifar  # noqa: E402
import contest  # noqa: E402
import environment  # noqa: E402
import gpu_tests  # noqa: E402
import parity  # noqa: E402
import ranks  # noqa: E402
from stage import Log, Skip, run_stage  # noqa: E402

STAGES = ("tests", "sanitizer", "parity", "ranks", "bench")


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/gpu-check",
        description="Runs on a GPU the tests of device code, some of them under compute-sanitizer, "
        "the same trainings on CPU and GPU, ranks that meet by NCCL, and the jobs beside PyTorch.",
        epilog="A stage that fails does not stop the later ones; what cannot run is skipped and says "
        "why. Exit code: 0 nothing failed, 1 something did, 2 usage, 4 no GPU that can be used.",
    )
    add = parser.add_argument
    add("--build", type=Path, metavar="FOLDER",
        help="default: the newest build with CUDA under build*/")  # fmt: skip
    add("--output", type=Path, metavar="FOLDER",
        help="of the JSON and the log; default: bench/results; of a rehearsal the build")  # fmt: skip
    add("--only", metavar="STAGE,...", help=f"of {', '.join(STAGES)}")
    add("--quick", action="store_true", help="a few tests, short trainings: shows that it works")
    add("--python", type=Path, help="one that has PyTorch; default: python3, that of bench/peers")
    add("--mnist", type=Path, help="folder of MNIST's files; default: where Lockstep looks")
    add("--cifar10", type=Path, help="folder of CIFAR-10's batches; default: where Lockstep looks")
    add("--budget", type=float, metavar="SECONDS",
        help="for the benchmarks: jobs begun later are left out (default: 750, with --autotune "
        "3000)")  # fmt: skip
    add("--autotune", action="store_true",
        help='beside PyTorch\'s torch.compile(mode="max-autotune") as well: minutes a job')  # fmt: skip
    add("--emulated", action="store_true",
        help="rehearse with a build that emulates its GPU: no sanitizer, no benchmarks")  # fmt: skip
    add("--tests", nargs="+", default=[], help=argparse.SUPPRESS)  # the programs' names
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",") if arguments.only else list(STAGES)
    if arguments.budget is None:
        arguments.budget = 3000 if arguments.autotune else 750
    for stage in arguments.only:
        if stage not in STAGES:
            parser.error(f"no stage {stage}; there are {', '.join(STAGES)}")
    return arguments


def output_stem(arguments, build, machine):
    """Path of the JSON and the log, without their suffixes."""
    rehearsal = arguments.emulated or arguments.quick
    folder = build.folder if rehearsal else builds.ROOT / "bench" / "results"
    name = re.sub(r"[^a-z0-9]+", "-", machine["gpus"][0]["name"].lower()).strip("-")
    return (arguments.output or folder).resolve() / f"{datetime.date.today()}-{name}-gpu-check"


def describe(build, machine, libraries):
    versions = {
        "driver": builds.driver_version(),
        "cuda_driver": machine["cuda_driver"],
        "cuda_runtime": machine["cuda_runtime"],
        "python": platform.python_version(),
    }
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "lockstep": build.version(),
        "machine": machine,
        "emulated": machine["gpus"][0]["emulated"],
        "versions": versions,
        "library_folders": libraries,
    }


def header(document, log):
    gpu, versions = document["machine"]["gpus"][0], document["versions"]
    log.say(
        f"{gpu['name']}, compute capability {gpu['compute_capability']}, driver "
        f"{versions['driver'] or 'unknown'} (CUDA {versions['cuda_driver']}), built with CUDA "
        f"{versions['cuda_runtime']}"
    )
    if document["emulated"]:
        log.say("REHEARSAL: the GPU is emulated on the CPU; nothing here says anything of a GPU")
    for line in document["lockstep"]:
        log.keep(line)


def bench_stage(arguments, build, machine, mnist, log, versions):
    if machine["gpus"][0]["emulated"]:
        raise Skip("the GPU is emulated: its times mean nothing")
    python, found, why = builds.python_with_torch(builds.pythons(arguments.python))
    versions |= found
    settings = contest.Settings(
        rounds=1 if arguments.quick else 3,
        round_seconds=0.1 if arguments.quick else 0.3,
        budget=arguments.budget,
        compile_seconds=600 if arguments.autotune else 240,
        autotune=arguments.autotune,
    )
    folder = cifar.find_cifar(arguments.cifar10)
    records = cifar.records_file(folder, build.folder / "gpu-check")
    data = contest.Data(mnist, records, cifar_is_random=folder is None)
    return contest.bench_stage(build, python, why, data, log, settings, machine)


def check(arguments):
    build = builds.Build(arguments.build) if arguments.build else builds.newest_build()
    programs = [p for p in (build.program, *map(build.find, arguments.tests)) if p]
    libraries = builds.provide_libraries(programs, builds.pythons(arguments.python))
    machine = builds.require_gpu(build, arguments.emulated)
    stem = output_stem(arguments, build, machine)
    log = Log(stem.with_name(stem.name + ".log"))
    document = describe(build, machine, libraries)
    header(document, log)
    mnist = environment.find_mnist(arguments.mnist)

    quick, emulated, versions = arguments.quick, document["emulated"], document["versions"]
    sanitizer = builds.find_sanitizer()
    stages = {
        "tests": lambda: gpu_tests.test_stage(build, arguments.tests, log, quick),
        "sanitizer": lambda: gpu_tests.sanitizer_stage(build, sanitizer, log, emulated, quick),
        "parity": lambda: parity.parity_stage(build, machine, mnist, log, quick or emulated),
        "ranks": lambda: ranks.ranks_stage(build, machine, mnist, log, quick),
        "bench": lambda: bench_stage(arguments, build, machine, mnist, log, versions),
    }
    document["stages"] = {
        name: run_stage(name, stages[name], log) for name in STAGES if name in arguments.only
    }
    return conclude(document, stem, log)


def conclude(document, stem, log):
    """Writes the JSON, ends the log with a summary; the exit code."""
    log.say("\n==> Summary")
    for name, stage in document["stages"].items():
        reason = f"  {stage['reason']}" if stage["reason"] else ""
        log.say(f"    {name:10} {stage['status']:8} {stage['seconds']:6} s{reason}")
    json_path = stem.with_name(stem.name + ".json")
    json_path.write_text(json.dumps(document, indent=1) + "\n")
    log.say(f"    written: {json_path}, {log.file.name}")
    return 1 if any(s["status"] == "failed" for s in document["stages"].values()) else 0


def main():
    try:
        return check(parse_arguments())
    except builds.Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
