"""The GoogleTest programs on the GPU: as they are, and under compute-sanitizer.

Standard library only.
"""

import json
import os
import tempfile
from pathlib import Path

from build import ROOT
from stage import Skip

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")

# Small shapes: a kernel runs 10 to 100 times slower under the sanitizer. By program.
SANITIZED = {
    "kernels_test": "-*several_tiles*:*widest_rows*:*goes_round*:*rows_are_many*:*large_tiles*"
    ":*bits_in_every_range*:*later_steps_run*:GemmPlanTest*",
    "cuda_training_test": "CudaTraining.IsTheCpusForEvery*:CudaTraining.TensorCore*"
    ":CudaImagesTraining.IsTheCpus:CudaImagesTraining.MovedImages*",
    "cuda_device_test": "CudaConvStep.OneStep*:CudaConvStep.ImagesMove*",
}
QUICK = {
    "kernels_test": "*one_*:*fill_no_tile*:*bitwise*",
    "cuda_training_test": "CudaTraining.TensorCore*",
}


def environment(build):
    """For programs that look for others: where these are, since a build may have been moved."""
    places = {
        "LOCKSTEP_TEST_PROGRAM": build.program,
        "LOCKSTEP_TEST_SCHEMA": ROOT / "schema" / "result.schema.json",
    }
    return os.environ | {name: str(path) for name, path in places.items()}


def run_program(path, build, log, seconds, prefix=(), options=()):
    """{"passed", "failed": names, "skipped": names, "exit_code"} of one GoogleTest program."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [*prefix, path, f"--gtest_output=json:{report}", *options]
        code, output = log.run(command, seconds, environment(build))
        suites = json.loads(report.read_text())["testsuites"] if report.exists() else []
    tests = [(f"{s['name']}.{test['name']}", test) for s in suites for test in s["testsuite"]]
    failed = [name for name, test in tests if test.get("failures")]
    skipped = [name for name, test in tests if test["result"] == "SKIPPED"]
    ran = [name for name, test in tests if test["result"] == "COMPLETED"]
    return {
        "passed": len(ran) - len(failed),
        "failed": failed,
        "skipped": skipped,
        "exit_code": code,
        "output": output,
    }


def verdict(name, result, seconds):
    """Why a program did not pass, as a list."""
    if result["failed"]:
        return [f"{name}: {', '.join(result['failed'])}"]
    if result["exit_code"] is None:
        return [f"{name} did not end in {seconds} s"]
    if result["exit_code"]:
        last = (result["output"].strip().splitlines() or ["no output"])[-1]
        return [f"{name} ended with exit code {result['exit_code']}: {last}"]
    return [] if result["passed"] else [f"{name}: no test ran"]


def test_stage(build, names, log, quick, seconds=600):
    """Every test of every program; of a quick run some."""
    result = {"programs": {}, "failures": []}
    for name in names:
        path = build.find(name)
        if not path:
            result["failures"].append(f"{name} is not in {build.folder}")
            continue
        options = [f"--gtest_filter={QUICK[name]}"] if quick and name in QUICK else []
        program = run_program(path, build, log, seconds, options=options)
        result["failures"] += verdict(name, program, seconds)
        program.pop("output")
        result["programs"][name] = program
        log.say(
            f"    {name}: {program['passed']} passed, {len(program['failed'])} failed, "
            f"{len(program['skipped'])} skipped"
        )
        for test in program["failed"]:
            log.say(f"      FAILED {test}")
        for test in program["skipped"]:
            log.say(f"      skipped {test}")
    return result


def sanitizer_stage(build, sanitizer, log, emulated, quick, seconds=300):
    """Tests of small shapes under each of the sanitizer's tools."""
    if emulated:
        raise Skip("the GPU is emulated: see the presets emulate-asan and emulate-tsan")
    if not sanitizer:
        raise Skip(
            "no compute-sanitizer in PATH or /usr/local/cuda*: install the CUDA toolkit's "
            "cuda-sanitizer package"
        )
    result = {"tools": {}, "failures": []}
    for tool in TOOLS:
        prefix = [sanitizer, "--tool", tool, "--error-exitcode", 9, "--print-limit", 20,
                  "--report-api-errors", "no"]  # fmt: skip
        for name, filters in (QUICK if quick else SANITIZED).items():
            path = build.find(name)
            if not path:
                result["failures"].append(f"{name} is not in {build.folder}")
                continue
            options = [f"--gtest_filter={filters}"]
            program = run_program(path, build, log, seconds, prefix, options)
            summary = [line for line in program.pop("output").splitlines() if "SUMMARY" in line]
            program["summary"] = summary[-1].strip("= ") if summary else None
            outcome = program | {"output": program["summary"] or ""}
            result["failures"] += verdict(f"{tool} of {name}", outcome, seconds)
            result["tools"].setdefault(tool, {})[name] = program
            log.say(
                f"    {tool}, {name}: {program['passed']} tests passed, "
                f"{program['summary'] or 'no summary'}"
            )
    return result
