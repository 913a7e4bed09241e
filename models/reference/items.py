"""The folders that data.py wrote, opened for training: windows of aligned RGB, latents and pseudo-class cells."""
import glob
import json
import os

import numpy as np

from data import orient


class Item:
    def __init__(self, folder):
        self.folder = folder
        name = os.path.basename(folder).split("@")[0]
        self.variant = int(name.split("~")[1]) if "~" in name else 0  # of data.py, 0 for the image itself
        self.__dict__.update(json.load(open(f"{folder}/meta.json")))
        self.rgb = np.load(f"{folder}/rgb.npy", mmap_mode="r")
        self.cells, self.texture, self.stain = (np.load(f"{folder}/{n}.npy") for n in ("labels", "texture", "stain"))
        self.z = {}

    def refresh(self):
        """Picks up orientations that data.py finished since the last look."""
        for f in glob.glob(f"{self.folder}/z_*.npy"):
            o = int(os.path.basename(f)[2:-4])
            if o not in self.z:
                self.z[o] = np.load(f)  # [16, h/8, w/8] f16
        return self

    def means(self, level, label, y, x, n):
        """Mean texture [16] and stain [3] of a class's cells in a square of n cells (the whole square where it holds none)."""
        square = np.s_[y : y + n, x : x + n]
        where = self.cells[level][square] == label
        where |= not where.any()
        return tuple(a[:, square[0], square[1]][:, where].astype(np.float32).mean(1) for a in (self.texture, self.stain))

    def rgb_window(self, o, y, x, size):
        """RGB of a window whose corner (y, x) is in pixels of orientation o: [3, size, size] u8."""
        h, w = self.rgb.shape[:2]
        if o >= 4:  # undo the flip, then the rotation, on the corner only
            x = (h if o % 2 else w) - x - size
        yy, xx = {0: (y, x), 1: (x, w - y - size), 2: (h - y - size, w - x - size), 3: (h - x - size, y)}[o % 4]
        return orient(np.array(self.rgb[yy : yy + size, xx : xx + size]).transpose(2, 0, 1), o)


def load(root, split):
    folders = sorted(os.path.dirname(f) for f in glob.glob(f"{root}/*/meta.json"))
    return [i for i in (Item(f) for f in folders) if i.split == split]


def weights(items, share):
    """Sampling weights: each mpp (the nearest in scale) gets its share, within it an item weighs by its area."""
    nearest = np.array([min(share, key=lambda mpp: abs(np.log(i.mpp / mpp))) for i in items])
    area = np.array([i.rgb.shape[0] * i.rgb.shape[1] for i in items], float)
    w = np.zeros(len(items))
    for mpp, s in share.items():
        pick = (nearest == mpp) & np.array([bool(i.z) for i in items])
        if pick.any():
            w[pick] = s * area[pick] ** 0.75 / (area[pick] ** 0.75).sum()
    return w / w.sum()
