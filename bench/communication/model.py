"""A cost model of synchronous data-parallel steps, with what was measured here. Standard library
only.

A step of W workers takes the longest worker's computation and what communication its backward does
not hide:

    t(W) = c(b) + max(0, a(W) - h backward(b)),     a(W) = 2 (W - 1) / W S / B + 2 (W - 1) L

c(b): a serial step of b samples, measured for several b, between them a straight line; backward is
two thirds of it. a: a ring all-reduce (Patarasu and Yuan 2009, "Bandwidth optimal all-reduce
algorithms for clusters of workstations") of S bytes over links of B bytes a second with L seconds
for each of its 2 (W - 1) stages. h: 1 with overlap, 0 without.
"""

import statistics

PARAMETERS = 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10
GRADIENT_BYTES = 4 * PARAMETERS
BATCHES = (4, 16, 64, 256, 1024)
WORKERS = (1, 2, 4, 8, 16, 32, 64)
LINKS = {  # bytes a second, seconds a stage; those of "measured here" are put in
    "10 Gbit Ethernet": (1.25e9, 20e-6),
    "100 Gbit InfiniBand": (12.5e9, 2e-6),
}
STRONG_BATCH, WEAK_BATCH = 256, 256
TRIALS = 5  # of a batch; the median counts


def between(points, at):
    """Linear between measured points, proportional beyond the largest, constant below the least."""
    points = sorted(points)
    if at <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[-1][1] * at / points[-1][0]


def all_reduce(workers, link):
    bandwidth, latency = link
    moved = 2 * (workers - 1) / workers * GRADIENT_BYTES
    return moved / bandwidth + 2 * (workers - 1) * latency


def step(compute, workers, link, overlap):
    backward = 2 / 3 * compute if overlap else 0.0
    return compute + max(0.0, all_reduce(workers, link) - backward) if workers > 1 else compute


def measured_link(document):
    """Bandwidth and latency from doctor's all-reduce of 1 MiB between two ranks by messages."""
    for finding in document["doctor"]:
        if finding["name"] == "all-reduce":
            text = finding["detail"].split("bus bandwidth ")[1].split("/s")[0]
            value, unit = text.split()
            scale = {"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
            return float(value) * scale
    raise RuntimeError("doctor tells of no all-reduce")


def scaling(train, doctor):
    points = []
    for batch in BATCHES:
        runs = [train(batch) for _ in range(TRIALS)]
        seconds = statistics.median(run["train_seconds"] / run["steps"] for run in runs)
        points.append((batch, seconds))
    links = LINKS | {"messages between ranks here": (measured_link(doctor()), 10e-6)}
    rows = []
    for name, link in links.items():
        for overlap in (True, False):
            for workers in WORKERS:
                strong = step(between(points, STRONG_BATCH / workers), workers, link, overlap)
                weak = step(between(points, WEAK_BATCH), workers, link, overlap)
                rows.append({
                    "link": name, "overlap": overlap, "workers": workers,
                    "strong_speedup": between(points, STRONG_BATCH) / strong,
                    "weak_efficiency": between(points, WEAK_BATCH) / weak,
                })  # fmt: skip
    return {"gradient_bytes": GRADIENT_BYTES, "step_seconds": points, "links": links,
            "rows": rows, "strong_batch": STRONG_BATCH, "weak_batch": WEAK_BATCH}  # fmt: skip


def table(head, rows):
    print(" | ".join(["", *head, ""]).strip())
    print(" | ".join(["", *("---" for _ in head), ""]).strip())
    for row in rows:
        print(" | ".join(["", *row, ""]).strip())
    print()


def rate(value):
    return "-" if value is None else f"{value / 1e3:.1f} k"


def print_report(document):
    for name, job in document.get("jobs", {}).items():
        print(f"{name}, samples/s: " + ", ".join(
            f"{who} {rate(value)}" for who, value in job["samples_per_second"].items()))  # fmt: skip
        print(f"  efficiency of 2 ranks {job['efficiency_of_ranks']:.2f}, dense "
              f"{job['efficiency_of_ranks_dense']:.2f}")  # fmt: skip
        if job["ranks_over_ddp"]:
            print(f"  ranks over DDP on gloo {job['ranks_over_ddp']:.1f}x, dense "
                  f"{job['dense_ranks_over_ddp']:.1f}x; DDP over one process "
                  f"{job['ddp_speedup']:.2f}x")  # fmt: skip
    if "all_reduce" in document:
        print("\nall-reduce of two workers")
        table(("bytes", "threads", "gloo", "gloo / threads"), [
            (f"{row['bytes']:,}", f"{1e6 * row['threads_seconds']:.0f} us",
             f"{1e6 * row['gloo_seconds']:.0f} us" if row["gloo_seconds"] else "-",
             f"{row['ratio']:.1f}x" if row["ratio"] else "-")
            for row in document["all_reduce"]])  # fmt: skip
    if "overlap" in document:
        print("ranks by messages, mlp-mnist")
        table(("buckets", "a step", "communication", "exposed"), [
            (row["way"], f"{1e6 * row['step_seconds']:.0f} us",
             f"{1e6 * row['communication_seconds_a_step']:.0f} us", f"{row['exposed_share']:.0%}")
            for row in document["overlap"]])  # fmt: skip
    if "scaling" in document:
        found = document["scaling"]
        print(f"cost model, mlp-mnist: {found['gradient_bytes']:,} bytes of gradients; a serial step "
              + ", ".join(f"of {b} {1e6 * s:.0f} us" for b, s in found["step_seconds"]))  # fmt: skip
        print(f"assumed: workers on machines of their own, as fast as this one; a ring; backward two "
              f"thirds of a step; links as named. Strong: global batch {found['strong_batch']}; "
              f"weak: {found['weak_batch']} a worker.")  # fmt: skip
        table(("link", "overlap", *(f"W={w}" for w in WORKERS)), [
            (f"{name} ({link[0] / 1e9:.2f} GB/s, {1e6 * link[1]:.0f} us), {kind}",
             "on" if overlap else "off",
             *(f"{row[key]:.2f}" for row in found["rows"]
               if row["link"] == name and row["overlap"] == overlap))
            for name, link in found["links"].items()
            for kind, key in (("strong speedup", "strong_speedup"),
                              ("weak efficiency", "weak_efficiency"))
            for overlap in (True, False)])  # fmt: skip
