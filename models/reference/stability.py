"""How much the map of a slide changes when it should not: ARI between maps that `histoloom cluster` makes.

    python stability.py --command ../../target/debug/histoloom --slide SLIDE [--mpp 0.5] [--k 8] [--encoder NAME]

In: a slide that OpenSlide opens, not larger than memory. Out: a markdown table of the adjusted Rand index (Hubert and Arabie 1985) over
the tissue cells that both maps have, mean and least:
    seeds     every pair of 5 seeds
    turns     the slide turned by 90, 180, 270 degrees and flipped, its map turned back, against that of the slide as it is
    stains    the slide in 4 other stains (data.vary) against that of the slide as it is
The copies are cut to whole cells of 16 px and written as tiled TIFF, uncompressed. Fails where the command does.
"""
import argparse
import itertools
import shutil
import subprocess
import tempfile

import numpy as np
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from data import orient, vary
from fit_projection import unorient
from tiff import write_tiff

def read(path):
    import openslide

    s = openslide.OpenSlide(path)
    rgb = np.asarray(s.read_region((0, 0), 0, s.dimensions).convert("RGB"))
    return rgb[: rgb.shape[0] // 16 * 16, : rgb.shape[1] // 16 * 16]


def labels(a, folder, rgb, seed=1):
    write_tiff(f"{folder}/slide.tif", [rgb])
    argv = [a.command, "cluster", f"{folder}/slide.tif", "--out", f"{folder}/map", "--k", str(a.k), "--seed", str(seed), "--mpp", str(a.mpp)]
    argv += ["--device", "cpu", "--threads", "1", "--quiet", *(["--encoder", a.encoder] if a.encoder else [])]
    shutil.rmtree(f"{folder}/map", ignore_errors=True)
    subprocess.run(argv, check=True)
    return np.asarray(Image.open(f"{folder}/map/labels.png"))


def agreement(p, q):
    both = (p > 0) & (q > 0)
    return adjusted_rand_score(p[both], q[both])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--command", required=True)
    p.add_argument("--slide", required=True)
    p.add_argument("--mpp", type=float, default=0.5)
    p.add_argument("--k", type=int, default=8)
    p.add_argument("--encoder", help="as the command's option; without it the command's default")
    a = p.parse_args()
    rgb = read(a.slide)
    with tempfile.TemporaryDirectory() as folder:
        seeds = [labels(a, folder, rgb, s) for s in range(1, 6)]
        turned = [unorient(labels(a, folder, orient(rgb.transpose(2, 0, 1), o).transpose(1, 2, 0)), o) for o in range(1, 8)]
        stained = [labels(a, folder, vary(rgb, np.random.default_rng(s))) for s in range(4)]
    rows = {
        "seeds": [agreement(x, y) for x, y in itertools.combinations(seeds, 2)],
        "turns": [agreement(seeds[0], x) for x in turned],
        "stains": [agreement(seeds[0], x) for x in stained],
    }
    print("| what changes | ARI, mean | least |\n|---|---|---|")
    for name, values in rows.items():
        print(f"| {name} | {np.mean(values):.2f} | {min(values):.2f} |")


if __name__ == "__main__":
    main()
