"""Encoders to compare: a picture at 0.5 um/px to features a cell of 16 px, and whole tiles to one row each.

In: RGB [h, w, 3] u8, sides multiples of 32. Out: [c, h/16, w/16] f32, the mean over the picture and its transpose, as the pipeline averages;
for tiles, the mean over the cells, or plain statistics of colour.
"""
import hashlib
import os

import numpy as np
from safetensors.numpy import load_file

import efficientnet_lite0
import stain
from data import features, glass_cells, texture

WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights")


def amounts(rgb):
    """Amounts of haematoxylin, eosin and residual [h, w, 3]."""
    density = -np.log10(np.maximum(rgb.astype(np.float32), 1) / 255)
    return density @ np.linalg.inv(stain.DIRECTIONS).astype(np.float32)


def unit(x):
    """Columns with mean 0 and variance 1."""
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)


class Lazy:
    """Weights read once, when first asked for."""

    def __init__(self):
        self.have = {}

    def __getattr__(self, name):
        if name not in self.have:
            path = f"{WEIGHTS}/{name}.safetensors"
            self.have[name] = efficientnet_lite0.load(path) if name == "efficientnet_lite0" else load_file(path)
        return self.have[name]


weights = Lazy()


# what becomes of the trunk's channels
ENCODERS = {"colour": None, "lite0": lambda trunk: trunk, "default": lambda trunk: texture(trunk, weights.encoder_projection)}
trunks = {}


def lite0(rgb):
    """The trunk's channels, computed once a picture."""
    key = hashlib.sha256(rgb.tobytes()).digest()
    if key not in trunks:
        trunks[key] = features(rgb, weights.efficientnet_lite0).astype(np.float16)
    return trunks[key].astype(np.float32)


def tissue(rgb):
    """Cells of tissue; all where there are nearly none."""
    cells = ~glass_cells(rgb)
    return cells if cells.mean() > 0.1 else np.ones_like(cells)


def colour(rgb, cells):
    """Mean and standard deviation of R, G, B and the stains over the tissue of a tile: [12]."""
    p = np.concatenate([rgb.astype(np.float32), 100 * amounts(rgb)], -1)[np.kron(cells, np.ones((16, 16), bool))]
    return np.concatenate([p.mean(0), p.std(0)])


def of_tiles(encoder, pictures, originals):
    """One row a tile; tissue is where `originals`, the same tiles in their own stain, have it, and colour is scaled as in them."""
    cells = [tissue(p) for p in originals]
    if encoder != "colour":
        return np.stack([ENCODERS[encoder](lite0(p))[:, c].mean(1) for p, c in zip(pictures, cells)])
    own = np.stack([colour(p, c) for p, c in zip(originals, cells)])
    return (np.stack([colour(p, c) for p, c in zip(pictures, cells)]) - own.mean(0)) / own.std(0)
