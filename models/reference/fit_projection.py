"""Fits the encoder's projection: 112 channels -> 16 in which tissue differs and orientation does not.

    python fit_projection.py --shared ../../../shared --data /tmp/histoloom-data --out ../weights/encoder_projection.safetensors

In: the RGB that data.py wrote (items of 0.5 um/px of the training split, of brecahad every fourth), the class names of nct_crc. Out: f32 `mean` [112] and
`projection` [16, 112]; the encoder returns projection @ (x - mean). A linear discriminant analysis with three nuisances:
    W  scatter of one cell's features over 8 turns and flips and two turns by 45 degrees (the turns by 90 degrees alone do not see that
       an upright and an oblique fibre differ), glass-free neighbourhood means of 3 x 3 cells
    L  scatter between cells 3 apart: speckle
    K  scatter within one tissue type of nct_crc: stain and patient
    B  scatter between cells of one slide (nct_crc counts as one slide), averaged over orientations: the signal
solving B v = lambda (W + 0.3 L + 0.1 K) v; rows are scaled to unit nuisance, so that distances count in units of it. The weights 0.3
and 0.1 and the 16 rows were chosen by fitting without a slide and comparing that slide's map with that of its transpose.
"""
import argparse
import csv
import glob
import os

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from scipy import ndimage
from scipy.linalg import eigh

import efficientnet_lite0
from data import dense, orient
from items import load

LOCAL, TYPE, RIDGE, ROWS = 0.3, 0.1, 1e-3, 16
# weights of the ten orientations: eight turns and flips together as much as the two at 45 degrees
SHARE = np.r_[np.ones(8) / 16, np.ones(2) / 4]


def unorient(a, o):
    """Undoes data.orient."""
    a = np.flip(a, -1) if o >= 4 else a
    return np.rot90(a, -(o % 4), axes=(-2, -1))


def turned(net, rgb, degrees):
    """Features of a picture turned by `degrees`, brought back to the cells of the picture as it is."""
    h, w, _ = rgb.shape
    image = Image.fromarray(rgb).rotate(degrees, Image.BICUBIC, expand=True, fillcolor=(240, 240, 240))
    canvas = Image.new("RGB", [-(-s // 16) * 16 for s in image.size], (240, 240, 240))
    canvas.paste(image, (0, 0))
    f = dense(net, np.ascontiguousarray(np.asarray(canvas).transpose(2, 0, 1)).astype(np.float32), 16)
    t = np.deg2rad(degrees)
    y, x = np.mgrid[0 : h // 16, 0 : w // 16] * 16 + 8.0
    dx, dy = x - w / 2, y - h / 2
    at = np.stack([(-np.sin(t) * dx + np.cos(t) * dy + image.size[1] / 2) / 16 - 0.5, (np.cos(t) * dx + np.sin(t) * dy + image.size[0] / 2) / 16 - 0.5])
    return np.stack([ndimage.map_coordinates(p, at, order=1, mode="nearest") for p in f])


def views(net, rgb):
    """[10, 112, h/16, w/16]: the features under every orientation, aligned."""
    chw = rgb.transpose(2, 0, 1).astype(np.float32)
    straight = [unorient(dense(net, orient(chw, o), 16), o) for o in range(8)]
    return np.stack(straight + [turned(net, rgb, d) for d in (45, 135)])


def deep_tissue(rgb):
    """Cells of tissue that do not touch glass or the picture's edge; all of the tissue where there are too few."""
    p = rgb.astype(np.int16)
    t = (p.max(-1) - p.min(-1) > 22) | (p.max(-1) < 170)
    h, w = t.shape
    mask = t.reshape(h // 16, 16, w // 16, 16).mean((1, 3)) > 0.25
    core = ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)
    core = core if core.sum() > 20 else mask
    inner = np.zeros_like(core)
    inner[2:-2, 2:-2] = True
    return core & inner


def means3(f, weight):
    """Weighted means over 3 x 3 cells of the last two axes."""
    total = np.maximum(ndimage.uniform_filter(weight, 3, mode="constant"), 1e-6)
    return np.stack([ndimage.uniform_filter(p * weight, 3, mode="constant") for p in f]) / total


class Scatter:
    def __init__(self):
        self.w, self.l, self.b, self.k = np.zeros((4, 112, 112))
        self.mean, self.cells, self.types = np.zeros(112), 0.0, {}

    def add(self, all_views, core, step, tissue_type):
        s = np.stack([means3(f, core.astype(np.float32)) for f in all_views])
        pick = np.zeros_like(core)
        pick[::step, ::step] = True
        pick &= core
        if pick.sum() < 20:
            return
        x = s[:, :, pick].transpose(0, 2, 1)  # [10, n, 112]
        mean = np.einsum("o,onc->nc", SHARE, x)
        weight = len(mean) ** -0.25  # a large slide counts by its area to the power 0.75
        self.w += weight * np.einsum("o,onc,ond->cd", SHARE, x - mean, x - mean, optimize=True)
        self.local(np.einsum("o,ochw->chw", SHARE, s), core, pick, weight * len(mean))
        self.mean += weight * mean.sum(0)
        self.cells += weight * len(mean)
        if tissue_type:
            self.types.setdefault(tissue_type, []).append((mean, weight))
        else:
            self.b += weight * (mean - mean.mean(0)).T @ (mean - mean.mean(0))

    def local(self, f, core, pick, weight):
        down, right = pick[:-3] & core[3:], pick[:, :-3] & core[:, 3:]
        d = np.concatenate([(f[:, :-3] - f[:, 3:])[:, down].T, (f[:, :, :-3] - f[:, :, 3:])[:, right].T])
        if len(d):
            self.l += weight * d.T @ d / len(d) / 2

    def solve(self):
        """(mean [112], projection [ROWS, 112], lambda)."""
        centre = np.concatenate([m for v in self.types.values() for m, _ in v]).mean(0)
        typed = 0.0
        for tiles in self.types.values():
            own = np.concatenate([m for m, _ in tiles]).mean(0)
            for m, weight in tiles:
                self.b += weight * (m - centre).T @ (m - centre)
                self.k += weight * (m - own).T @ (m - own)
                typed += weight * len(m)
        nuisance = (self.w + LOCAL * self.l) / self.cells + TYPE * self.k / max(typed, 1e-9)
        nuisance += RIDGE * np.trace(nuisance) / 112 * np.eye(112)
        values, vectors = eigh(self.b / self.cells, nuisance)
        return self.mean / self.cells, vectors[:, ::-1][:, :ROWS].T, values[::-1][:ROWS]


def type_names(shared):
    """Class of each nct_crc item, which data.py numbers in the order of file names."""
    with open(f"{shared}/tiles/nct_crc/labels.csv", newline="") as f:
        of = {r["file"]: r["class"] for r in csv.DictReader(f)}
    files = sorted(os.path.basename(p) for p in glob.glob(f"{shared}/tiles/nct_crc/images/*"))
    return {f"nct_crc_{i:03d}@0.5": of[n] for i, n in enumerate(files)}


def wanted(name, mpp, without):
    """Whether an item takes part: brecahad's 24 fields are much alike, six of them say as much as all."""
    alike = name.startswith("brecahad") and int(name[9:12]) % 4
    return mpp == 0.5 and not alike and not (without and name.startswith(without))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--shared", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--without", default="", help="leave items out whose name begins so, to judge on them")
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    net = efficientnet_lite0.load(f"{a.shared}/weights/efficientnet_lite0/efficientnet_lite0.safetensors")
    types, scatter = type_names(a.shared), Scatter()
    for item in load(a.data, "train"):
        name = os.path.basename(item.folder)
        if not wanted(name, item.mpp, a.without):
            continue
        rgb = np.array(item.rgb)
        core = deep_tissue(rgb)
        if core.sum() < 30:
            continue
        step = 3 if rgb.shape[0] * rgb.shape[1] > 8e6 else 2 if rgb.shape[0] * rgb.shape[1] > 1e6 else 1
        scatter.add(views(net, rgb), core, step, types.get(name))
        print(name, flush=True)
    mean, projection, values = scatter.solve()
    print("signal to nuisance", values.round(2))
    tensors = dict(mean=mean.astype(np.float32), projection=np.ascontiguousarray(projection.astype(np.float32)))
    save_file(tensors, a.out, metadata={"made_by": "models/reference/fit_projection.py"})


if __name__ == "__main__":
    main()
