"""One run in a process of its own. Knows: wall and CPU seconds, memory beyond the input, the bare codec. Does not know: tables, targets."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

from benchmarks import pyramid_peers as peers
from benchmarks.pyramid_inputs import NoiseSource
from omexp.geometry import blocks
from omexp.storage.reading import default_workers

__all__ = ["alone", "beside_the_floor", "here", "measured", "written"]

ROOT = Path(__file__).resolve().parents[1]


# -------------------------------------------------------------------------------------------------------- clocks
def _status_bytes(name: str) -> int:
    """A figure of Linux's /proc; 0 elsewhere: memory is not measured there."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0


@contextlib.contextmanager
def measured(result: dict[str, Any]) -> Iterator[None]:
    """Wall seconds, CPU seconds of all threads, and how far the process's memory rose above what it held before, into `result`."""
    gc.collect()
    getattr(os, "sync", int)()  # what was written before is not written back while the clock runs
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (ru_maxrss begins with that of the parent process)
    before, start, start_cpu = _status_bytes("VmRSS"), time.perf_counter(), time.process_time()
    yield
    result |= {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - start_cpu}
    result["peak_bytes"] = max(0, _status_bytes("VmHWM") - before)


# ------------------------------------------------------------------------------------------ a process of its own
def alone(function: str, **options: Any) -> dict[str, Any]:
    """Call a function of this folder, "module:name", in a new process, with options that JSON holds.

    Raises
    ------
    RuntimeError
        It failed: its own words.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "benchmarks.pyramid_measure", function, json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{function}({options}): {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def here(function: str, **options: Any) -> dict[str, Any]:
    """The same in this process."""
    module, name = function.split(":")
    return getattr(importlib.import_module(f"benchmarks.{module}"), name)(**options)


def written(
    out: str,
    call: str,
    options: dict[str, Any],
    *,
    array: str | None = None,
    shape: Sequence[int] = (),
    before: Sequence[Any] = (),
    compare: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Let one library do one piece of work, and measure it.

    Parameters
    ----------
    out
        A free path; the store stays: deleting one of 700 files just before cost 4 % of the CPU (ext4).
    call, options
        Of `pyramid_peers.call`.
    array
        A .npy file, loaded into memory first; the work is then done once on a corner of it, before the clock runs: imports, compilation.
    shape
        Without `array`: of a `NoiseSource`.
    before
        (call, options) that make the store which the work is done on, before the clock runs.
    compare
        Options of `pyramid_peers.compare`: what was written is compared, after the clock has stopped.
    """
    path, result = Path(out), {}
    source: Any = np.load(array) if array else NoiseSource(tuple(shape))

    def work(pixels: Any, place: Path, into: dict[str, Any]) -> None:
        if before:
            peers.call(before[0], pixels, place, **before[1])
        with measured(into):
            peers.call(call, pixels, place, **options)

    if array:
        corner = np.ascontiguousarray(source[tuple(slice(0, 8) for _ in source.shape[:-2])][..., :128, :128])
        work(corner, path.with_suffix(".warm"), {})
    work(source, path, result)
    result["bytes"] = peers.bytes_on_disk(path)
    if compare:
        peers.compare(path, source, **compare)
    return result


# -------------------------------------------------------------------------------------------------- the bare codec
def beside_the_floor(out: str, call: str, options: dict[str, Any], *, array: str, repeats: int) -> dict[str, Any]:
    """A work in turn with its floor (A B A B ...), so that the noise of a shared machine meets both.

    The floor: the chunks of all levels, cut from the levels in memory, through the bare codec on all cores. "floor_and_files" writes the
    bytes to files, too, one for each chunk: nothing of that could a writer save.
    """
    path, pixels = Path(out), np.load(array)
    peers.call(call, pixels, path, **options)
    encode, chunks = _encoder_and_chunks(path)
    rounds: list[dict[str, dict[str, Any]]] = []
    for number in range(repeats):
        files, place = path.with_suffix(f".{number}.files"), path.with_suffix(f".{number}.zarr")
        files.mkdir()
        rounds.append({"floor": {}, "floor_and_files": {}, "omexp": {}})
        with measured(rounds[-1]["floor"]):
            _in_threads(encode, chunks)
        with measured(rounds[-1]["floor_and_files"]):
            _in_threads(lambda chunk, files=files: (files / str(chunk[0])).write_bytes(encode(chunk)), chunks)
        with measured(rounds[-1]["omexp"]):
            peers.call(call, pixels, place, **options)
    return {"rounds": rounds}


def _encoder_and_chunks(path: Path) -> tuple[Callable[[tuple[int, np.ndarray]], bytes], list[tuple[int, np.ndarray]]]:
    """The bare codec of a stored image, and its chunks with their numbers: views of the levels in memory."""
    levels = peers.levels_of(path)
    (compressor,) = levels[0].compressors
    config = compressor.to_dict()["configuration"]
    if "cname" in config:
        codec: Any = numcodecs.Blosc(config["cname"], config["clevel"], numcodecs.Blosc.BITSHUFFLE)
    else:
        codec = numcodecs.Zstd(config["level"])
    arrays = [level[:] for level in levels]
    cut = [pixels[box.slices] for pixels, level in zip(arrays, levels, strict=True) for box in blocks(pixels.shape, level.chunks)]
    return lambda chunk: codec.encode(np.ascontiguousarray(chunk[1])), list(enumerate(cut))


def _in_threads(work: Callable[[Any], Any], tasks: Sequence[Any]) -> None:
    with ThreadPoolExecutor(default_workers()) as pool:
        for _ in pool.map(work, tasks):
            pass


if __name__ == "__main__":
    print(json.dumps(here(sys.argv[1], **json.loads(sys.argv[2]))))
