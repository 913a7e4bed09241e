"""Training windows of the denoiser: latents of one place and a condition whose crops come from elsewhere in the same image."""
import numpy as np
import torch

import condition
import items
from data import orient, scanned


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


class Stream(torch.utils.data.IterableDataset):
    """Batches without end of windows of one size: latents, conditions, log2(mpp / 0.5), with `rgb` their pixels in [0, 1] too. A quarter of them
    at 0.25 um/px, half at 0.5, a quarter at 1. Images as from other scanners count `scans` times as much as others."""

    def __init__(self, its, window, batch, seed, rgb=False, scans=1.0):
        self.its, self.pools, self.window, self.batch, self.seed, self.rgb, self.scans = its, [Crops(i) for i in its], window, batch, seed, rgb, scans

    def shares(self):
        p = items.weights([i.refresh() for i in self.its], {0.25: 0.25, 0.5: 0.5, 1.0: 0.25})
        p *= [(self.scans if scanned(i.variant) else 1) * (2 * min(i.cells.shape[1:]) >= self.window) for i in self.its]
        return p / p.sum()

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng, done = np.random.default_rng([*self.seed, worker.id if worker else 0]), 0
        while True:
            if done % 500 == 0:  # data.py may still be writing
                prob = self.shares()
            drawn = []
            for i in rng.choice(len(self.its), self.batch, p=prob):
                z, c, (o, y, x) = sample(rng, self.pools[i], self.window)
                seen = [self.its[i].rgb_window(o, y, x, 8 * self.window).astype(np.float32) / 255] if self.rgb else []
                drawn.append((z, c, np.float32(np.log2(self.its[i].mpp / 0.5)), *seen))
            yield tuple(torch.from_numpy(np.stack(v)) for v in zip(*drawn))
            done += 1

    def batches(self, workers, device):
        """An iterator of batches on the device, made by that many processes (0: by this one)."""
        pin = device != "cpu"
        loader = torch.utils.data.DataLoader(self, batch_size=None, num_workers=workers, pin_memory=pin, prefetch_factor=4 if workers else None)
        return ([v.to(device, non_blocking=pin) for v in b] for b in loader)
