"""Region reads a second through the callback, on one thread, called as the library calls it: into C and back into Python.

    python3 -m histoloom.bench [SLIDE]

Prints the fastest of some rounds for an array, for levels of it, for the same in dask where that is installed, and for a slide file read by OpenSlide
(openslide-python). Loads the library, but no models.
"""
from __future__ import annotations

import ctypes
import sys
import time
from typing import Any

import numpy as np

import histoloom

SIDE_PX = 256
ROUNDS, READS = 20, 20


def reads_per_second(context: histoloom.Context, pixels: Any, size: tuple[int, int], downsample: float) -> float:
    """The fastest round, which other work on the machine slows least; places drawn with one seed."""
    slide = context.open(pixels, 0.5, size)
    stride = 4 * SIDE_PX
    into = (ctypes.c_uint8 * (stride * SIDE_PX))()
    pointer = ctypes.cast(into, ctypes.POINTER(ctypes.c_uint8))
    most = [int(side - SIDE_PX * downsample) for side in size]
    draw = np.random.default_rng(1)
    rates = []
    for _ in range(ROUNDS):
        places = draw.integers(0, most, (READS, 2), endpoint=True).tolist()
        start = time.perf_counter()
        for x, y in places:
            region = histoloom._Region(
                ctypes.sizeof(histoloom._Region), histoloom.RGBA8, x, y, downsample, SIDE_PX, SIDE_PX, stride, 0, 0, 0, slide._token
            )
            read = context._callbacks[0](None, ctypes.byref(region), pointer, len(into))
            assert read == len(into), context._failures
        rates.append(READS / (time.perf_counter() - start))
    slide.close()
    return max(rates)


def main(path: str = "") -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4096, 4096, 3), np.uint8)
    levels = [pixels[::step, ::step].copy() for step in (1, 2, 4, 8)]
    size = (4096, 4096)
    sources: list[tuple[str, Any, tuple[int, int]]] = [("array", pixels, size), ("levels", levels, size)]
    try:
        from dask.array import from_array

        lazy: Any = from_array  # untyped
        sources.append(("levels in dask", [lazy(a, chunks=(512, 512, 3)) for a in levels], size))
    except ImportError:
        pass
    if path:
        import openslide

        file = openslide.OpenSlide(path)

        def read(x: int, y: int, downsample: float, width: int, height: int) -> histoloom.Picture:
            level = file.get_best_level_for_downsample(downsample)
            shrink = downsample / file.level_downsamples[level]
            part = file.read_region((x, y), level, (round(width * shrink), round(height * shrink)))
            return np.asarray(part if shrink == 1 else part.resize((width, height), reducing_gap=2))

        sources.append(("slide file", read, file.dimensions))
    with histoloom.Context(device="cpu") as context:
        print(f"reads of {SIDE_PX} x {SIDE_PX} px a second, one thread, fastest of {ROUNDS} rounds of {READS}")
        for name, source, shape in sources:
            rates = {d: reads_per_second(context, source, shape, d) for d in (1.0, 2.0, 4.0) if min(shape) >= SIDE_PX * d}
            print(f"{name:16}" + "".join(f"  downsample {d:g}: {rate:6.0f}" for d, rate in rates.items()))


if __name__ == "__main__":
    main(*sys.argv[1:2])
