"""Measures of stain and nuclei a cell of 16 px: the numbers a user may ask a region for.

    haematoxylin, eosin   mean amount of each stain, from optical densities (base 10) by colour deconvolution with the vectors of
                          Ruifrok and Johnston 2001; about 0 to 1
    nuclei                share of pixels whose haematoxylin, averaged over about 1 um, lies above the image's own Otsu threshold
"""
import numpy as np
from scipy import ndimage

HAEMATOXYLIN, EOSIN = (0.650, 0.704, 0.286), (0.072, 0.990, 0.105)
DIRECTIONS = np.array([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)])
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


def amounts(rgb):
    """rgb [h, w, 3] u8 -> amounts of haematoxylin and eosin [2, h, w]."""
    density = -np.log10(np.maximum(rgb.astype(np.float32), 1) / 255)
    return np.moveaxis(density @ np.linalg.inv(DIRECTIONS).astype(np.float32), -1, 0)[:2]


def otsu(values, low=0.0, high=1.0, bins=128):
    """The threshold that leaves the least variance on its two sides."""
    n, edges = np.histogram(np.clip(values, low, high), bins, (low, high))
    middle = (edges[1:] + edges[:-1]) / 2
    below, sums = n.cumsum(), (n * middle).cumsum()
    above = below[-1] - below
    apart = (sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)) ** 2 * below * above
    return edges[1 + apart.argmax()]


def cells(rgb, mpp):
    """[3, h/16, w/16]."""
    h, w, _ = rgb.shape
    hae, eos = amounts(rgb)
    calm = ndimage.uniform_filter(hae, max(1, round(1 / mpp)))
    tissue = hae + eos > 0.08
    nuclei = (calm > otsu(calm[tissue] if tissue.any() else calm)).astype(np.float32)
    return np.stack([p.reshape(h // 16, 16, w // 16, 16).mean((1, 3)) for p in (hae, eos, nuclei)])
