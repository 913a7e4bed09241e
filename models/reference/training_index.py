"""The index of the pictures that the denoiser was trained on: models/weights/he_training_index.bin.

    python training_index.py --shared ../../../shared --command ../../target/debug/histoloom --work /tmp/index --out he_training_index.bin

The slides are indexed as they are, the fields of each tile set as one mosaic (those that data.py trains on), at 0.5 um/px or their own
resolution where that is coarser. The file holds embeddings of cells of 32 px (16 numbers of 8 bits each), no pixels.
"""
import argparse
import pathlib
import subprocess

import numpy as np
from PIL import Image

from atlas import GAP, GLASS, tiff

SLIDES = [("CMU-1-Small-Region.svs", None), ("tcga-cr-7395-01a-01-ts1.svs", 0.5), ("bcss_1008_pyramid.tif", None)]
SETS = {"brecahad": 0.25, "nct_crc": 0.5, "osteosarcoma_tcia": 1.0}
CELL = 32


def field(path, mpp):
    """A field at 0.5 um/px or its own coarser resolution, cut to whole cells."""
    p = Image.open(path).convert("RGB")
    if mpp < 0.5:
        p = p.resize((round(p.width * mpp / 0.5), round(p.height * mpp / 0.5)), Image.LANCZOS)
    return np.asarray(p)[: p.height // CELL * CELL, : p.width // CELL * CELL]


def mosaic(folder, mpp):
    """All fields that were trained on, side by side on glass."""
    files = [f for i, f in enumerate(sorted((folder / "images").iterdir())) if i % 8 != 7]
    fields = [field(f, mpp) for f in files]
    gap = -(-GAP // CELL) * CELL
    step_y, step_x = (max(t.shape[a] for t in fields) + gap for a in (0, 1))
    across = int(np.ceil(np.sqrt(len(fields) * step_y / step_x)))
    out = np.full((-(-len(fields) // across) * step_y + gap, across * step_x + gap, 3), GLASS, np.uint8)
    for i, t in enumerate(fields):
        y, x = gap + i // across * step_y, gap + i % across * step_x
        out[y : y + t.shape[0], x : x + t.shape[1]] = t
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--shared", type=pathlib.Path, required=True)
    a.add_argument("--command", required=True)
    a.add_argument("--work", type=pathlib.Path, required=True)
    a.add_argument("--out", type=pathlib.Path, required=True)
    a = a.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    a.out.unlink(missing_ok=True)
    jobs = [(a.shared / "slides" / name, mpp) for name, mpp in SLIDES]
    for name, mpp in SETS.items():
        path = a.work / f"{name}.tif"
        if not path.exists():
            tiff(path, mosaic(a.shared / "tiles" / name, mpp))
        jobs.append((path, max(mpp, 0.5)))
    for path, mpp in jobs:
        subprocess.run([a.command, "flags", "index", path, "--out", a.out] + (["--mpp", str(mpp)] if mpp else []), check=True)


if __name__ == "__main__":
    main()
