"""Results of bench/peers/run as tables in Markdown. Standard library only."""

import json
from datetime import datetime

from report import rate


class NotResults(Exception):
    """A file that bench/peers/run has not written: which, and what is wrong with it."""


def document_of(file):
    """What bench/peers/run wrote to the file. Raises NotResults."""
    try:
        document = json.loads(file.read_text())
    except OSError as error:
        raise NotResults(f"{file}: {error.strerror}") from error
    except ValueError as error:  # neither UTF-8 nor JSON
        raise NotResults(f"{file} is not JSON, as bench/peers/run writes it: {error}") from error
    missing = ["date", "machine", "versions", "cells"]
    if isinstance(document, dict):
        missing = [key for key in missing if key not in document]
    if missing:
        raise NotResults(
            f"{file} is not a result of bench/peers/run: it has no {', '.join(missing)}"
        )
    return document


def date_of(file):
    return datetime.fromisoformat(document_of(file)["date"])


class Results:
    """Cells (one job at one thread count each) of one run, with those measured again later."""

    def __init__(self, files):
        """files: the run first."""
        documents = [document_of(file) for file in files]
        self.names = [file.name for file in files]
        self.machine = documents[0]["machine"]
        self.versions = documents[0]["versions"]
        self.date = documents[0]["date"][:10]
        cells = {}
        for document in documents:
            cells |= {(cell["job"], cell["threads"]): cell for cell in document["cells"]}
        # Jobs in the order in which the run has them, one thread before two.
        jobs = list(dict.fromkeys(job for job, _ in cells))
        self.cells = sorted(cells.values(), key=lambda c: (jobs.index(c["job"]), c["threads"]))

    def source(self):
        return " and ".join(f"bench/results/{name}" for name in self.names)


def rows_of(header, numbers, rows):
    """A table; the columns after the first `len(header) - numbers` hold numbers."""
    rule = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def where(results):
    """What was measured, where and with what."""
    machine = results.machine
    peers = ("numpy", "torch", "jax", "scikit-learn")
    versions = ", ".join(
        f"{name} {results.versions[name]}" for name in peers if name in results.versions
    )
    cpu = f"{machine['cpu']}, {machine['cpus']} CPUs{', virtual' if machine['virtual'] else ''}"
    files = ", ".join(f"`{name}`" for name in results.names)
    return f"{results.date}, {cpu}; {versions}. From {files} in `bench/results/`.\n"


def named(cell, name):
    return next(c for c in cell["contestants"] if c["name"] == name)


def floor_of(entry):
    """The share of the limit that is nearest."""
    if not entry["floor_share"]:
        return "-"
    limit, share = max(entry["floor_share"].items(), key=lambda item: item[1])
    return f"{100 * share:.0f} % of {limit}"


def job_of(cell, ours):
    """The job, and what is special about how we do it."""
    if ours["precision"] == "bf16":
        return f"{cell['job']}, bf16"
    return f"{cell['job']}, dense" if ours["name"].endswith(", dense") else cell["job"]


def efficiency_of(cell, entry):
    """Of our workers on the same global batch; it is measured for the job as users get it."""
    value = cell["efficiency"].get("same global batch")
    plain = job_of(cell, named(cell, entry["ours"])) == cell["job"]
    return f"{value:.2f}" if value and plain else "-"


def summary(results):
    """Lockstep beside the fastest peer of each job."""
    rows = []
    for cell in results.cells:
        for entry in cell["ratios"]:
            ours = named(cell, entry["ours"])
            best = entry["best_peer"] and named(cell, entry["best_peer"])
            rows.append(
                [
                    job_of(cell, ours),
                    str(cell["threads"]),
                    f"{best['name']}" if best else "none",
                    rate(best["samples_per_second"]) if best else "-",
                    rate(ours["samples_per_second"]),
                    f"{entry['ratio']:.2f}" if best else "-",
                    floor_of(entry),
                    efficiency_of(cell, entry),
                ]
            )
    header = ["job", "threads", "fastest peer", "its samples/s", "ours", "ratio", "floor"]
    return rows_of([*header, "efficiency"], 5, rows) + "\n" + where(results)


def contestants(results):
    """Everyone's samples a second in every cell."""
    names = dict.fromkeys(c["name"] for cell in results.cells for c in cell["contestants"])
    ordered = sorted(names, key=lambda name: name.startswith("Lockstep"))
    columns = [{c["name"]: c for c in cell["contestants"]} for cell in results.cells]

    def figure(c):
        if c is None or not c["samples_per_second"]:
            return "-"
        remark = "" if c["accurate"] else " (inaccurate)"
        return rate(c["samples_per_second"]) + (remark if c["compared"] else " (other job)")

    rows = [[name, *(figure(column.get(name)) for column in columns)] for name in ordered]
    header = ["samples/s", *(f"{cell['job']}, {cell['threads']} thr." for cell in results.cells)]
    return rows_of(header, len(columns), rows) + "\n" + where(results)


# The names are those in the pages' markers.
TABLES = {"summary": summary, "contestants": contestants}
