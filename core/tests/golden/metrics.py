"""Writes frechet.json and fidelity.json: python metrics.py

Frechet distance by numpy with the conventions of torch-fidelity (ddof 1, sum of the real parts of the roots of the eigenvalues of
S1 S2, no epsilon); SSIM by scipy's correlate with the window of Wang et al. 2004.
"""
import json

import numpy as np
from scipy.ndimage import correlate1d

rng = np.random.default_rng(3)
d = 6
mix = rng.normal(size=(d, d))
a = (rng.normal(size=(40, d)) @ mix).round(4)
b = (rng.normal(size=(50, d)) @ mix * 1.3 + 0.5 + 0.2 * rng.normal(size=(50, d))).round(4)
s1, s2 = np.cov(a.T, ddof=1), np.cov(b.T, ddof=1)
distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2) - 2 * np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real.sum()
json.dump(dict(channels=d, a=a.ravel().tolist(), b=b.ravel().tolist(), distance=float(distance)), open("frechet.json", "w"))

side = 24
x = rng.integers(60, 200, (side, side, 3))
y = np.clip(x + rng.normal(0, 12, x.shape), 0, 255).round().astype(int)
psnr = 10 * np.log10(255**2 / ((x - y) ** 2).mean())
g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
g /= g.sum()
blur = lambda v: correlate1d(correlate1d(v, g, 0), g, 1)[5:-5, 5:-5]
p, q = (v @ np.array([0.299, 0.587, 0.114]) for v in (x, y))
mx, my = blur(p), blur(q)
sx, sy, sxy = blur(p * p) - mx * mx, blur(q * q) - my * my, blur(p * q) - mx * my
c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
ssim = ((2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sx + sy + c2))).mean()
json.dump(dict(side=side, a=x.ravel().tolist(), b=y.ravel().tolist(), psnr=float(psnr), ssim=float(ssim)), open("fidelity.json", "w"))
