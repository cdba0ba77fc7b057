"""What the pyramid benchmark found, as a table, as targets met or missed, and as a plot. Knows: results. Does not know: clocks."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omexp.storage.reading import default_workers

__all__ = ["lines", "machine", "machine_line", "plot", "targets", "verdict"]

PACKAGES = ("numpy", "zarr", "zarrs", "numcodecs", "ngio", "ngff-zarr", "ome-zarr", "dask", "tensorstore")
MEMORY_BYTES, FLAT = 256 << 20, 1.15
FLOOR = 2.0
PLAN_S, PLAN_BYTES, PLAN_CHUNKS = 1.0, 200 << 20, 100_000
HEAD = f"{'':30} {'s':>8} {'CPU s':>8} {'GB/s':>6} {'/ omexp':>8} {'CPU':>6} {'MiB':>6} {'MB on disk':>11} {'runs':>5}"


def machine() -> dict[str, Any]:
    """Processor, cores, Python, versions, and how busy the machine was."""
    found: dict[str, Any] = {"processor": _processor(), "cores": default_workers(), "python": platform.python_version()}
    found["system"] = f"{platform.system()} {platform.release()}"
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"load_average": [round(n, 2) for n in os.getloadavg()]}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_line(found: dict[str, Any]) -> str:
    return ", ".join(f"{value}" if key in ("processor", "system") else f"{key} {value}" for key, value in found.items())


# ------------------------------------------------------------------------------------------------------- the table
def lines(row: dict[str, Any]) -> str:
    """A row's part of the table."""
    title = f"\n{row['row']}. {row['title']}"
    if row["row"] == 3:
        return "\n".join([f"{title}, {tuple(row['shape'])}", HEAD, *_floor_lines(row)])
    if "works" in row:
        return "\n".join([f"{title}, {tuple(row['shape'])}", HEAD, *(_work_line(row, work) for work in row["works"]), *_floor_lines(row)])
    if "sizes" in row:
        return "\n".join([title, *(_size_line(size, name) for size in row["sizes"] for name in ("create", "consolidate"))])
    if "cases" in row:
        return "\n".join([title, *(_count_line(name, case) for name, case in row["cases"].items())])
    return f"{title}\n  " + ", ".join(f"{key} {value:.6g}" for key, value in row.items() if key not in ("row", "title", "load_average"))


def _work_line(row: dict[str, Any], work: dict[str, Any]) -> str:
    ours, speed = row["works"][0], row["input_bytes"] / work["wall_s"] / 1e9
    ratios = f"{work['wall_s'] / ours['wall_s']:8.2f} {work['cpu_s'] / ours['cpu_s']:6.2f}"
    size = f"{work['peak_bytes'] / 2**20:6.0f} {work['bytes'] / 1e6:11.1f}"
    return f"{work['name']:30} {work['wall_s']:8.3f} {work['cpu_s']:8.3f} {speed:6.2f} {ratios} {size} {work['runs']:5}"


def _floor_lines(row: dict[str, Any]) -> list[str]:
    names = {"floor": "floor: the bare codec", "floor_and_files": "the same, written to files"}
    return [
        f"{text:30} {row[f'{key}_wall_s']:8.3f} {row[f'{key}_cpu_s']:8.3f} {row['input_bytes'] / row[f'{key}_wall_s'] / 1e9:6.2f}"
        f"   omexp beside it: {row[f'x_{key}_wall']:.2f} x, CPU {row[f'x_{key}_cpu']:.2f} x"
        for key, text in names.items()
        if f"{key}_wall_s" in row
    ]


def _size_line(size: dict[str, Any], name: str) -> str:
    work = size[name]
    per_byte = f"{work['wall_s'] / size['bytes'] * 1e9:.2f} s/GB, {work['cpu_s'] / size['bytes'] * 1e9:.2f} CPU s/GB"
    return f"  {size['bytes'] / 1e9:5.2f} GB {name:12} {work['wall_s']:7.2f} s  {per_byte}  {work['peak_bytes'] / 2**20:5.0f} MiB"


def _count_line(name: str, case: dict[str, Any]) -> str:
    read, written, rewritten = case["consolidate_reads"], case["create_writes"], case["consolidate_writes"]
    create = (
        f"create: {case['pixel_reads_mean']:.3f} reads of a pixel (most {case['pixel_reads_most']}), {written['mean']:.2f} writes of a unit"
    )
    rebuild = f"consolidate: {read['mean']:.2f} reads of a level-0 unit (most {read['most']}), {rewritten['mean']:.2f} writes"
    return f"  {name:14} {create}; {rebuild}; {sum(case['units'])} units"


# --------------------------------------------------------------------------------------------------------- targets
def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was to be reached, what was found, and whether it was reached: one entry per target of the rows that were measured."""
    found: list[dict[str, Any]] = []
    for row in rows:
        found += {3: _floor_targets, 7: _size_targets, 8: _count_targets, 9: _plan_targets}.get(row["row"], _speed_targets)(row)
    return found


def _target(row: int, what: str, target: str, got: float, reached: bool, **more: Any) -> dict[str, Any]:
    return {"row": row, "what": what, "target": target, "got": round(got, 3), "reached": reached, **more}


def _speed_targets(row: dict[str, Any]) -> list[dict[str, Any]]:
    works = {work["name"]: work for work in row["works"]}
    least, found = row["least"], []
    for ours, rivals in row["pairs"]:
        fastest = min(rivals, key=lambda name: works[name]["wall_s"])
        ratio, cpu = (works[fastest][key] / works[ours][key] for key in ("wall_s", "cpu_s"))
        what = f"{row['title']}: {ours} against {fastest}"
        found.append(_target(row["row"], what, f"{least} x faster", ratio, ratio >= least, cpu=round(cpu, 3)))
    if row["row"] == 1:
        ours, rivals = row["pairs"][0]
        share = works[ours]["bytes"] / min(works[name]["bytes"] for name in rivals)
        found.append(_target(1, "bytes on disk, of the smallest peer's", "1.0 at most", share, share <= 1))
    return found


def _floor_targets(row: dict[str, Any]) -> list[dict[str, Any]]:
    ratio, cpu = row["x_floor_wall"], row["x_floor_cpu"]
    return [_target(3, "against the bare codec", f"{FLOOR} x at most", ratio, ratio <= FLOOR, cpu=round(cpu, 3))]


def _size_targets(row: dict[str, Any]) -> list[dict[str, Any]]:
    sizes, found = row["sizes"], []
    peak = max(size[name]["peak_bytes"] for size in sizes for name in ("create", "consolidate"))
    found.append(_target(7, "MiB beyond the input, at most", f"{MEMORY_BYTES >> 20}", peak / 2**20, peak <= MEMORY_BYTES))
    for name in ("create", "consolidate"):
        per_byte = {key: [size[name][key] / size["bytes"] for size in sizes] for key in ("wall_s", "cpu_s")}
        wall, cpu = (max(values) / min(values) for values in per_byte.values())
        found.append(_target(7, f"{name}: seconds per byte, most by least", f"{FLAT} at most", wall, wall <= FLAT, cpu=round(cpu, 3)))
    return found


def _count_targets(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A method that looks around its windows reads some units again: how often is counted, and only its writes are held to 1."""
    found = []
    for name, case in row["cases"].items():
        around, reads = name == "gaussian", case["consolidate_reads"]
        counts = [case["create_writes"], case["consolidate_writes"], *([] if around else [reads])]
        once = all(c["most"] == 1 and c["units"] == c["of"] for c in counts) and not case["consolidate_reads_of_other_levels"]
        reached = once and (around or case["pixel_reads_most"] == 1)
        target = "writes: 1" if around else "both 1"
        found.append(_target(8, f"{name}: reads of a level-0 unit, and writes of a unit", target, reads["mean"], reached))
    return found


def _plan_targets(row: dict[str, Any]) -> list[dict[str, Any]]:
    enough = row["chunks"] >= PLAN_CHUNKS
    most_s = max(row["plan_s"], row["to_multiscales_s"])
    most = max(row["plan_peak_bytes"], row["to_multiscales_peak_bytes"])
    return [
        _target(9, f"seconds to plan {row['chunks']} chunks", f"{PLAN_S} at most", most_s, enough and most_s <= PLAN_S),
        _target(9, "MiB for that", f"{PLAN_BYTES >> 20} at most", most / 2**20, enough and most <= PLAN_BYTES),
    ]


def verdict(found: list[dict[str, Any]]) -> str:
    rows = [
        f"{t['row']:3} {t['what']:75} {t['target']:>14} {t['got']:9.3f} {'CPU ' + format(t['cpu'], '.2f') if 'cpu' in t else '':>10}  "
        f"{'reached' if t['reached'] else 'MISSED'}"
        for t in found
    ]
    return "\n".join(["", "targets", *rows])


# ------------------------------------------------------------------------------------------------------------ plot
OURS, PEERS, CODEC, REBUILT = "#0b6e99", "#bcc3ca", "#c4572e", "#5aa469"


def plot(results: dict[str, Any], path: Path) -> None:
    """Throughput of every work, memory and seconds per byte beside the size of the image."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    beside = next((row for row in results["rows"] if row["row"] == 3), {})
    speed = [{**(beside if row["row"] == 1 else {}), **row} for row in results["rows"] if "works" in row]
    sizes = [row["sizes"] for row in results["rows"] if "sizes" in row]
    heights = [len(row["works"]) + 1.3 for row in speed] or [1]
    style = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 8, "axes.titlelocation": "left"}
    with plt.rc_context(style):
        figure = plt.figure(figsize=(7.4, max(3.6, 0.2 * sum(heights) + 0.9)), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.8, 1))
        for axis, row in zip(left.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0], speed, strict=False):
            _draw_speed(axis, row, most=max(row["input_bytes"] / w["wall_s"] / 1e9 for row in speed for w in row["works"]))
        left.supxlabel("GB of pixels per second (in brackets: times the seconds of the first)", fontsize=8)
        left.legend(
            handles=[plt.Rectangle((0, 0), 1, 1, color=c, label=n) for n, c in (("omexp", OURS), ("others", PEERS))]
            + [plt.Line2D([], [], color=CODEC, label="the bare codec")],
            loc="outside upper left",
            ncols=3,
            frameon=False,
        )
        for size in sizes:
            _draw_sizes(right.subplots(2, 1, sharex=True), size)
        figure.savefig(path, dpi=200, metadata={"Software": None})
        plt.close(figure)


def _draw_speed(axis: Any, row: dict[str, Any], most: float) -> None:
    names, seconds = [work["name"] for work in row["works"]], [work["wall_s"] for work in row["works"]]
    speeds = [row["input_bytes"] / s / 1e9 for s in seconds]
    if "floor_wall_s" in row:
        axis.axvline(row["input_bytes"] / row["floor_wall_s"] / 1e9, color=CODEC, linewidth=1.2)
    bars = axis.barh(names, speeds, height=0.74, color=[OURS if name.startswith("omexp") else PEERS for name in names])
    texts = [
        f"{speed:.2g}" + (f"  ({s / seconds[0]:.2g} x)" if k else "") for k, (speed, s) in enumerate(zip(speeds, seconds, strict=True))
    ]
    for text in axis.bar_label(bars, texts, padding=3, fontsize=7):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlim(0.002, 3 * most)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_title(f"{row['title']}, {' x '.join(map(str, row['shape']))}")
    axis.tick_params(axis="y", length=0)


def _draw_sizes(axes: Any, sizes: list[dict[str, Any]]) -> None:
    gigabytes = [size["bytes"] / 1e9 for size in sizes]
    memory, time = axes
    for name, colour, marker in (("create", OURS, "o"), ("consolidate", REBUILT, "s")):
        look = {"color": colour, "marker": marker, "markersize": 4}
        memory.plot(gigabytes, [size[name]["peak_bytes"] / 2**20 for size in sizes], label=name, **look)
        for key, line, clock in (("wall_s", "-", "wall"), ("cpu_s", ":", "CPU of all threads")):
            seconds = [size[name][key] / size["bytes"] * 1e9 for size in sizes]
            time.plot(gigabytes, seconds, linestyle=line, label=f"{name}, {clock}", **look)
    memory.axhline(MEMORY_BYTES / 2**20, color=CODEC, linewidth=1, label="limit")
    memory.set(ylim=(0, 300), ylabel="MiB", title="memory beyond the input")
    time.set(ylim=(0, 1.9 * time.get_ylim()[1]), ylabel="s per GB", title="time per byte", xlabel="GB of pixels", xscale="log")
    time.set_xticks(gigabytes, [f"{g:.2g}" for g in gigabytes])
    time.minorticks_off()
    memory.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, 0.85))
    time.legend(frameon=False, fontsize=7, loc="upper left")
