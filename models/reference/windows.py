"""Training windows of the denoiser: latents of one place and a condition whose crops come from elsewhere in the same image."""
import numpy as np

import condition
from data import orient


def to_base(o, y, x, n, h, w):
    """Corner of an n x n window of orientation o, in the coordinates of orientation 0 (h x w)."""
    if o >= 4:
        x = (h if o % 2 else w) - x - n
    return {0: (y, x), 1: (x, w - y - n), 2: (h - y - n, w - x - n), 3: (h - x - n, y)}[o % 4]


class Crops:
    """Where windows of one class lie: per orientation, granularity, class and crop size, the corners with >= 80 % of that class."""

    def __init__(self, item):
        self.item, self.memo = item, {}

    def corners(self, o, level, label, cells):
        key = (o, level, label, cells)
        if key not in self.memo:
            m = np.pad(orient(self.item.cells[level], o) == label, ((1, 0), (1, 0))).astype(np.int32).cumsum(0).cumsum(1)
            share = m[cells:, cells:] - m[:-cells, cells:] - m[cells:, :-cells] + m[:-cells, :-cells]
            self.memo[key] = np.argwhere(share >= 0.8 * cells * cells).astype(np.int16)
        return self.memo[key]

    def draw(self, rng, level, label, avoid):
        """A crop of this class outside the base rectangle `avoid` (y, x, n in cells), or None: ((latents, phase), texture)."""
        it = self.item
        o = list(it.z)[rng.integers(len(it.z))]
        h, w = it.cells.shape[1:]
        for cells in ((6, 4) if rng.random() < 0.5 else (4,)):
            c = self.corners(o, level, label, cells)
            for _ in range(6 if len(c) else 0):
                y, x = c[rng.integers(len(c))]
                by, bx = to_base(o, int(y), int(x), cells, h, w)
                ay, ax, n = avoid
                if by + cells <= ay or by >= ay + n or bx + cells <= ax or bx >= ax + n:
                    z = it.z[o][:, 2 * y : 2 * (y + cells), 2 * x : 2 * (x + cells)]
                    texture, _ = it.means(level, label, by, bx, cells)
                    return (z, tuple(rng.integers(0, 4 * cells, 2))), texture
        return None


def sample(rng, crops, window):
    """Latents, condition and the window's place: (orientation, y, x), the corner in pixels of that orientation."""
    it = crops.item
    o = list(it.z)[rng.integers(len(it.z))]
    level, n = rng.choice(3, p=(0.45, 0.4, 0.15)), window // 2
    cells = orient(it.cells[level], o)
    y, x = (int(rng.integers(cells.shape[i] - n + 1)) for i in range(2))
    z = it.z[o][:, 2 * y : 2 * (y + n), 2 * x : 2 * (x + n)].astype(np.float32)
    labels = cells[y : y + n, x : x + n].repeat(2, 0).repeat(2, 1)
    if rng.random() < 0.1:
        return z, np.zeros((condition.CHANNELS, window, window), np.float32), (o, 16 * y, 16 * x)
    by, bx = to_base(o, y, x, n, *it.cells.shape[1:])
    shown, own, drop = rng.random() > 0.1, rng.random() < 0.5, rng.random(2) < (1 / 6, 0.5)
    laid, textures, measures = {}, {}, {}
    for label in np.unique(labels[labels > 0]):
        texture, measures[label] = it.means(level, label, by, bx, n)
        a = crops.draw(rng, level, label, (by, bx, n))
        if a:
            b = (crops.draw(rng, level, label, (by, bx, n)) if rng.random() < 0.7 else None) or a
            laid[label] = [a[0], b[0]]
            texture = texture if own else (a[1] + b[1]) / 2
        textures[label] = texture
    return z, condition.build(labels, laid if shown else {}, {} if drop[0] else textures, {} if drop[1] else measures), (o, 16 * y, 16 * x)
