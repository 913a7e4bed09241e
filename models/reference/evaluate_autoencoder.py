"""Held-out PSNR of the shipped autoencoder beside the teacher's (TAEF2) on the same tiles, with cost.

    python evaluate_autoencoder.py --data DIR --shared ../../../shared

Tiles: 256 px of images whose split is `test` (never trained on): 12 at each mpp. PSNR in dB of pictures in [0, 1], mean over tiles.
Cost: multiply-adds of a 256 px tile, and milliseconds on one thread, medians of 5.
"""
import argparse
import statistics
import time

import numpy as np
import torch

import autoencoder
import items
import teacher
from train_autoencoder import psnr


def tiles(its, mpp, n=12):
    rng, xs = np.random.default_rng(1), []
    pick = [i for i in its if i.mpp == mpp and min(i.rgb.shape[:2]) >= 256]
    for j in range(n):
        a = pick[j % len(pick)].rgb
        y, x = rng.integers(a.shape[0] - 255), rng.integers(a.shape[1] - 255)
        xs.append(np.array(a[y : y + 256, x : x + 256]).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(xs)).float() / 255


def macs(net, x):
    """Multiply-adds of all convolutions and linear layers in one forward pass."""
    total, hooks = [0], []
    for m in net.modules():
        if isinstance(m, torch.nn.Conv2d):
            hooks.append(m.register_forward_hook(lambda m, i, o: total.__setitem__(0, total[0] + o.numel() * m.weight[0].numel())))
    net(x)
    for h in hooks:
        h.remove()
    return total[0] / 1e9


def ms(f):
    times = []
    for _ in range(6):
        t = time.perf_counter()
        f()
        times.append(1e3 * (time.perf_counter() - t))
    return statistics.median(times[1:])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--shared", required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    enc, dec = autoencoder.load()
    te, td = teacher.taef2_encoder(f"{a.shared}/weights"), teacher.taef2_decoder(f"{a.shared}/weights")
    held = items.load(a.data, "test")
    print("| um/px | ours dB | TAEF2 dB |\n|---|---|---|")
    for mpp in (0.25, 0.5, 1.0):
        x = tiles(held, mpp)
        ours = torch.cat([dec(enc(v)).clamp(0, 1) for v in x.split(4)])
        theirs = torch.cat([td(te(v)).clamp(0, 1) for v in x.split(4)])
        print(f"| {mpp} | {psnr(ours, x):.2f} | {psnr(theirs, x):.2f} |")
    print("\n| network | parameters M | GMAC a 256 px tile | ms, 1 thread |\n|---|---|---|---|")
    x = tiles(held, 0.5, 1)
    z, tz = enc(x), te(x)
    for name, net, arg in (("our encoder", enc, x), ("our decoder", dec, z), ("TAEF2 encoder", te, x), ("TAEF2 decoder", td, tz)):
        n = sum(v.numel() for v in net.parameters()) / 1e6
        print(f"| {name} | {n:.2f} | {macs(net, arg):.1f} | {ms(lambda: net(arg)):.0f} |")


if __name__ == "__main__":
    main()
