"""What a cell (one job at one thread count) comes to, as text and JSON. Standard library only."""

from statistics import median

import limits as floors


def ratio(ours, theirs):
    """Median over the rounds of ours / theirs, which were measured side by side."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if a and b]
    return median(a / b for a, b in pairs) if pairs else None


def middle(rounds):
    measured = [value for value in rounds if value]
    return median(measured) if measured else None


def best_of(contestants, precision):
    """The fastest peer that does the same arithmetic, as accurately."""
    peers = [c for c in contestants if c["peer"] and c["compared"] and c["samples_per_second"]]
    fit = [c for c in peers if c["precision"] == precision and c["accurate"]]
    return max(fit, key=lambda c: c["samples_per_second"], default=None)


def summarize(job, threads, contestants, limit):
    """The cell as a dictionary: figures, ratios to the best peer, share of the floor."""
    for contestant in contestants:
        contestant["samples_per_second"] = middle(contestant["rounds"])
        contestant["accurate"] = (contestant["accuracy"] or 0) >= job.accuracy
    cell = {
        "job": job.name,
        "threads": threads,
        "contestants": contestants,
        "ratios": [],
        "floor": None,
    }
    fma, read = middle(limit.fma_gflops), middle(limit.read_gb_s)
    if fma and read:
        bounds = floors.bounds(job, fma, read)
        cell["floor"] = {
            "fma_gflops": fma,
            "read_gb_s": read,
            "read_buffer_bytes": floors.read_bytes(job),
            "read_scaling": middle(limit.read_scaling),
            "rounds": {"fma_gflops": limit.fma_gflops, "read_gb_s": limit.read_gb_s},
            "flop_per_sample": job.flop_per_sample,
            "samples_per_second": bounds,
        }
    for ours in contestants:
        if not ours["peer"] and ours["samples_per_second"] and ours["same_job"]:
            cell["ratios"].append(compare(ours, contestants, cell["floor"]))
    cell["efficiency"] = efficiencies(contestants, threads)
    if job.logistic and cell["efficiency"] and cell["floor"]:
        scaling = cell["floor"]["read_scaling"] / threads
        for label, value in list(cell["efficiency"].items()):
            cell["efficiency"][f"{label}, of what read bandwidth scales by"] = value / scaling
    return cell


def compare(ours, contestants, floor):
    best = best_of(contestants, ours["precision"])
    entry = {
        "ours": ours["name"],
        "best_peer": best and best["name"],
        "ratio": best and ratio(ours["rounds"], best["rounds"]),
        "against": {
            c["name"]: ratio(ours["rounds"], c["rounds"]) for c in contestants if c["peer"]
        },
        "floor_share": None,
    }
    # The limits are measured in float32.
    if floor and ours["precision"] == "float32":
        entry["floor_share"] = {
            name: ours["samples_per_second"] / bound
            for name, bound in floor["samples_per_second"].items()
        }
    return entry


def efficiencies(contestants, threads):
    """Our W workers against W times our one, round by round; {} with one thread."""
    ours = {c["name"]: c for c in contestants if not c["peer"]}
    serial = ours.get("Lockstep serial")
    if threads == 1 or not serial:
        return {}
    shares = {"same global batch": "", "same batch per worker": ", same batch per worker"}
    found = {}
    for label, suffix in shares.items():
        sync = ours.get(f"Lockstep sync:{threads}{suffix}")
        value = sync and ratio(sync["rounds"], serial["rounds"])
        if value:
            found[label] = value / threads
    return found


def rate(value):
    """Samples a second, three digits."""
    if value is None:
        return "-"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def render(cell, job, cpus):
    """The cell as lines of text."""
    where = "CPU " + ", ".join(map(str, sorted(cpus)))
    lines = [f"{job.name}, {cell['threads']} thread(s) on {where}", ""]
    lines.append(f"  {'':40}{'samples/s':>10}  {'slowest - fastest':20}{'accuracy':>9}  ours is")
    against = cell["ratios"][0]["against"] if cell["ratios"] else {}
    for c in sorted(cell["contestants"], key=lambda c: -(c["samples_per_second"] or 0)):
        lines.append(contestant_line(c, against))
    lines += [""] + [ratio_line(entry) for entry in cell["ratios"]]
    lines += floor_lines(cell)
    for label, value in cell["efficiency"].items():
        lines.append(f"  {cell['threads']} workers, {label}: efficiency {value:.2f}")
    return "\n".join(lines) + "\n"


def contestant_line(c, against):
    if c["error"]:
        return f"  {c['name']:40}{'-':>10}  not measured: {c['error']}"
    measured = [value for value in c["rounds"] if value]
    spread = f"{rate(min(measured))} - {rate(max(measured))}"
    times = against.get(c["name"])
    remark = f"{times:.2f} x" if times else ""
    if not c["accurate"]:
        remark += "  INACCURATE, not compared"
    if c["note"]:
        remark += f"  ({c['note']})"
    figures = f"{rate(c['samples_per_second']):>10}  {spread:20}{c['accuracy']:9.4f}"
    return f"  {c['name']:40}{figures}  {remark}".rstrip()


def ratio_line(entry):
    if not entry["best_peer"]:
        return f"  {entry['ours']}: no peer with the same arithmetic to compare with"
    return f"  {entry['ours']}: {entry['ratio']:.2f} x the best peer ({entry['best_peer']})"


def floor_lines(cell):
    floor = cell["floor"]
    if not floor:
        return ["  the floor was not measured"]
    lines = [
        f"  limits: {floor['fma_gflops']:.0f} GFLOP/s float32 FMA, "
        f"{floor['read_gb_s']:.1f} GB/s read from {floor['read_buffer_bytes'] / 1e6:.1f} MB"
    ]
    lowest = min(floor["samples_per_second"].values())
    for name, bound in floor["samples_per_second"].items():
        if bound > 10 * lowest:
            continue  # far from limiting anything
        shares = [
            f"{entry['ours']} reaches {100 * entry['floor_share'][name]:.0f} %"
            for entry in cell["ratios"]
            if entry["floor_share"]
        ]
        lines.append(
            f"    {name} allows {rate(bound)} samples/s" + "".join(f"; {s}" for s in shares)
        )
    return lines
