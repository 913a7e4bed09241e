"""The shipped atlas: fitted on the shared slides and tile sets, its leaves named from the labels of tiles and masks.

    python atlas.py ATLAS --shared SHARED --work DIR [--command histoloom] [--without NAME]

Writes ATLAS. In DIR: one tiled TIFF a tile set, places.json, samples, and maps of everything made with the atlas; what is there is kept.
--without leaves a slide out of the fit, to see how an atlas labels a slide it never saw.

Mosaics: tiles are brought to 0.5 um/px (Lanczos), padded by 3 cells of their own mirror image and laid out on glass, so that no cell that
shows tissue sees a seam. Names: a leaf gets the name that most of its labelled cells have, if these are at least 40 and 30 % of all its cells
on all slides, and the name is that of 60 % of them; purities are printed. Labels: NCT-CRC (9 tissues), then BCSS tumour masks, then osteosarcoma (viable, necrosis).
"""

import argparse
import collections
import csv
import json
import struct
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

CELL, PAD, GAP = 16, 48, 32
GLASS = (243, 242, 243)
# set -> um/px of its files, pixels taken from the middle of each (at that scale), tiles taken
SETS = {"nct_crc": (0.5, 224, 999), "osteosarcoma_tcia": (1.0, 320, 45), "brecahad": (0.25, 1024, 24), "pcam": (0.97, 96, 60)}
NAMES = {"ADI": "Fat", "BACK": "Background", "DEB": "Debris", "LYM": "Lymphocytes", "MUC": "Mucus", "MUS": "Muscle", "NORM": "Mucosa",
         "STR": "Stroma", "TUM": "Tumour", "Viable": "Tumour", "Non-Viable-Tumor": "Necrosis", "mask": "Tumour"}
LEAST_CELLS, LEAST_SHARE, LEAST_PURITY = 40, 0.3, 0.6
# classes of a map that leaves it to the atlas, before those of one name become one
OWN_K = 80
LICENCE = "CC BY 4.0: fitted on CC0, CC BY and TCGA open-access images, see PROVENANCE.md"


def labels(folder):
    table = folder / "labels.csv"
    return {r["file"]: r["class"] for r in csv.DictReader(table.open())} if table.exists() and "class" in table.open().readline() else {}


def tile(path, mpp, side):
    """The middle of a file at 0.5 um/px, a whole number of cells, with its mirrored margin."""
    p = Image.open(path).convert("RGB")
    w, h = (min(side, v) for v in p.size)
    left, top = (p.width - w) // 2, (p.height - h) // 2
    size = [int(v * mpp / 0.5) // CELL * CELL for v in (w, h)]
    p = p.crop((left, top, left + w, top + h)).resize(size, Image.LANCZOS)
    return np.pad(np.asarray(p), ((PAD, PAD), (PAD, PAD), (0, 0)), mode="symmetric")


def mosaic(folder, mpp, side, n):
    """The picture, and where each file's own cells lie: column, row, columns, rows."""
    files = sorted((folder / "images").iterdir())
    files = files[:: max(1, len(files) // n)][:n]
    tiles = [tile(f, mpp, side) for f in files]
    step_y, step_x = (max(t.shape[a] for t in tiles) + GAP for a in (0, 1))
    across = int(np.ceil(np.sqrt(len(tiles) * step_y / step_x)))
    down = -(-len(tiles) // across)
    out = np.full((down * step_y + GAP, across * step_x + GAP, 3), GLASS, np.uint8)
    places = {}
    for i, (f, t) in enumerate(zip(files, tiles)):
        y, x = GAP + i // across * step_y, GAP + i % across * step_x
        out[y : y + t.shape[0], x : x + t.shape[1]] = t
        places[f.name] = [(x + PAD) // CELL, (y + PAD) // CELL, (t.shape[1] - 2 * PAD) // CELL, (t.shape[0] - 2 * PAD) // CELL]
    return out, places


def tiff(path, a, side=256):
    """An uncompressed tiled TIFF, which OpenSlide opens."""
    h, w = a.shape[:2]
    down, across = -(-h // side), -(-w // side)
    padded = np.full((down * side, across * side, 3), GLASS, np.uint8)
    padded[:h, :w] = a
    n, size = down * across, side * side * 3
    bits = 8 + 2 + 11 * 12 + 4
    offsets, counts = bits + 6, bits + 6 + 4 * n
    data = counts + 4 * n
    entries = [(256, 4, 1, w), (257, 4, 1, h), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3), (284, 3, 1, 1),
               (322, 4, 1, side), (323, 4, 1, side), (324, 4, n, offsets), (325, 4, n, counts)]
    with open(path, "wb") as f:
        f.write(b"II*\0" + struct.pack("<IH", 8, len(entries)))
        for e in entries:
            f.write(struct.pack("<HHII", *e))
        f.write(struct.pack("<IHHH", 0, 8, 8, 8))
        f.write(struct.pack(f"<{n}I", *(data + i * size for i in range(n))) + struct.pack(f"<{n}I", *[size] * n))
        for y in range(down):
            for x in range(across):
                f.write(padded[y * side : (y + 1) * side, x * side : (x + 1) * side].tobytes())


def build(shared, out):
    """Mosaics that are not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    if (out / "places.json").exists():
        return
    places = {}
    for name, (mpp, side, n) in SETS.items():
        picture, places[name] = mosaic(shared / "tiles" / name, mpp, side, n)
        tiff(out / f"{name}.tif", picture)
        print(name, picture.shape[1], "x", picture.shape[0], len(places[name]), "tiles")
    (out / "places.json").write_text(json.dumps(places))


def sources(shared, work):
    """name -> file and the options its resolution needs."""
    slides = {"cmu_1": ("CMU-1-Small-Region.svs", None), "tcga_cr_7395": ("tcga-cr-7395-01a-01-ts1.svs", 0.5),
              "bcss_1008": ("bcss_1008_pyramid.tif", None), "bcss_1015": ("bcss_1015_pyramid.tif", None)}
    out = {n: (shared / "slides" / f, ["--mpp", str(mpp)] if mpp else []) for n, (f, mpp) in slides.items()}
    return out | {n: (work / f"{n}.tif", ["--mpp", "0.5"]) for n in SETS}


def votes(maps, mosaics, shared):
    """leaf (from 1) -> source -> Counter of names over its labelled cells."""
    out = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
    places = json.loads((mosaics / "places.json").read_text())
    for name in ("nct_crc", "osteosarcoma_tcia"):
        leaves = np.asarray(Image.open(maps / name / "leaves.png"))
        of = labels(shared / "tiles" / name)
        for file, (x, y, w, h) in places[name].items():
            for leaf in leaves[y : y + h, x : x + w].ravel():
                if leaf:
                    out[int(leaf)][name][NAMES.get(of[file], "other")] += 1
    for name in ("bcss_1008", "bcss_1015"):
        if not (maps / name).is_dir():
            continue
        leaves = np.asarray(Image.open(maps / name / "leaves.png"))
        mask = Image.open(shared / "slides" / f"{name}_tumor_mask.png").convert("L")
        mask = np.asarray(mask.resize((leaves.shape[1], leaves.shape[0]), Image.BOX)) / 255.0
        for leaf, m in zip(leaves.ravel(), mask.ravel()):
            if leaf and (m > 0.9 or m < 0.1):
                out[int(leaf)]["bcss"]["Tumour" if m > 0.5 else "other"] += 1
    return out


def name(atlas, work, shared, command):
    own = json.loads(command("--json", "atlas", "show", str(atlas)))["atlas"]
    leaves = own["leaves"]
    label_of = json.loads(command("--json", "atlas", "show", str(atlas), "--k", str(leaves)))["atlas"]["leaf_labels"]
    found, chosen = votes(work / "maps", work, shared), {}
    cells = collections.Counter()
    for path in (work / "maps").glob("*/leaves.png"):
        cells.update(np.asarray(Image.open(path)).ravel().tolist())
    print("leaf  name         purity  cells  source")
    for leaf in sorted(found):
        for source in ("nct_crc", "bcss", "osteosarcoma_tcia"):
            counts = found[leaf][source]
            total = sum(counts.values())
            if total < max(LEAST_CELLS, LEAST_SHARE * cells[leaf]):
                continue
            best, n = counts.most_common(1)[0]
            if best != "other" and n >= LEAST_PURITY * total:
                chosen[label_of[leaf - 1]] = best
                print(f"{leaf:4}  {best:11}  {n / total:6.2f}  {total:5}  {source}")
                break
    arguments = [v for label, text in sorted(chosen.items()) for v in ("--set", f"{label}={text}")]
    command("atlas", "name", str(atlas), "--k", str(leaves), *arguments)
    print(len(chosen), "of", leaves, "leaves named")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("atlas", type=Path)
    p.add_argument("--shared", type=Path, required=True)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--command", default="histoloom")
    p.add_argument("--without", action="append", default=[])
    a = p.parse_args()

    def command(*arguments):
        return subprocess.run([a.command, "-q", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

    build(a.shared, a.work)
    of = sources(a.shared, a.work)
    for n, (file, mpp) in of.items():
        out = a.work / "samples" / f"{n}.sample"
        if not out.exists():
            command("atlas", "sample", str(file), "--out", str(out), "--device", "cpu", *mpp)
    samples = [str(a.work / "samples" / f"{n}.sample") for n in of if n not in a.without]
    command("atlas", "fit", *samples, "--out", str(a.atlas), "--k", str(OWN_K), "--licence", LICENCE)
    leaves = json.loads(a.atlas.read_text())["leaves"]
    for n, (file, mpp) in of.items():
        command("cluster", str(file), "--atlas", str(a.atlas), "--k", str(len(leaves)), "--out", str(a.work / "maps" / n), "--device", "cpu", *mpp)
    name(a.atlas, a.work, a.shared, command)


if __name__ == "__main__":
    main()
