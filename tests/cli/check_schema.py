"""Runs every command with --json and checks its document against the JSON Schema.

Usage: check_schema.py PROGRAM SCHEMA. Exit code 77: Python has no jsonschema, nothing was checked.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("SKIPPED: Python has no jsonschema module")
    sys.exit(77)

program, schema_path = sys.argv[1:3]
schema = json.loads(pathlib.Path(schema_path).read_text())


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def check(*arguments, expected_code=0):
    """One document on stdout, valid, whatever the exit code."""
    result = subprocess.run([program, *arguments, "--json"], capture_output=True, text=True)
    assert result.returncode == expected_code, (arguments, result.returncode, result.stderr)
    document = json.loads(result.stdout, parse_constant=refuse_constant)
    jsonschema.validate(document, schema)
    print("valid:", *arguments)
    return document


with tempfile.TemporaryDirectory() as folder:
    run = str(pathlib.Path(folder) / "run")
    check("train", "--epochs", "1", "--out", run)
    jsonschema.validate(json.loads(pathlib.Path(run, "result.json").read_text()), schema)
    check("train", "--dry-run")
    check("compare", "--epochs", "1", "--repeats", "1", "--warmup", "0",
          "--modes", "serial,sync:2,sync:2@cuda")
    check("eval", "--checkpoint", run, "--data", "digits")
    check("predict", "--checkpoint", run, "--data", "digits")
    check("data", "info", "digits")
    check("experiments")
    check("experiments", "show", "mlp-mnist")
    check("doctor")
    check("train", "--batch-size", "0", expected_code=2)
    check("train", "--no-such-option", expected_code=2)
    check("train", "--data", "csv:no-such-file.csv", expected_code=3)
    check("train", "--device", "cuda", expected_code=4)
    check("train", "--lr", "1e30", expected_code=6)
