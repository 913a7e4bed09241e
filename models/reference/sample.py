"""Samples a training state for looking at: rows real | crop field decoded | guidance 1 | guidance G | unconditional.

    python sample.py --data DIR --state unet.pt --out sheet.png [--split test] [--guidance 1.3] [--steps 12]
"""
import argparse

import numpy as np
import torch
from PIL import Image

import autoencoder
import condition
import items
from denoiser import Denoiser
from windows import Crops, sample


def solve(net, noise, cond, log_mpp, steps, guidance):
    """Heun's method on v from t = 1 to 0; guidance 1 skips the unconditional pass, 0 the conditional one."""
    x, b = noise.clone(), len(noise)
    none = torch.zeros_like(cond)

    def v(x, t):
        tt = torch.full((b,), t)
        if guidance == 0:
            return net(x, none, tt, log_mpp)
        vc = net(x, cond, tt, log_mpp)
        return vc if guidance == 1 else (vu := net(x, none, tt, log_mpp)) + guidance * (vc - vu)

    for i in range(steps):
        t, s = 1 - i / steps, 1 - (i + 1) / steps
        a = v(x, t)
        y = x + (s - t) * a
        x = y if s == 0 else x + (s - t) * 0.5 * (a + v(y, s))
    return x


def main():
    p = argparse.ArgumentParser()
    for a in ("data", "state", "out"):
        p.add_argument(f"--{a}", required=True)
    p.add_argument("--split", default="train")
    p.add_argument("--guidance", type=float, default=1.3)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--columns", type=int, default=6)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--mpp", type=float, default=0.5)
    a = p.parse_args()
    torch.set_num_threads(1)
    net = Denoiser().eval()
    state = torch.load(a.state, map_location="cpu", weights_only=True)
    net.load_state_dict(state["ema"])
    _, decoder = autoencoder.load()
    decode = lambda z: decoder(z).clamp(0, 1)
    rng = np.random.default_rng(a.seed)
    torch.manual_seed(a.seed)
    its = [i.refresh() for i in items.load(a.data, a.split) if i.mpp == a.mpp and min(i.rgb.shape[:2]) >= 256]
    prob = items.weights(its, {a.mpp: 1.0})
    zs, cs = [], []
    while len(zs) < a.columns:
        z, c, _ = sample(rng, Crops(its[rng.choice(len(its), p=prob)]), 32)
        if c[condition.KNOWN].mean() > 0.6:
            zs.append(z), cs.append(c)
    z, c = torch.from_numpy(np.stack(zs)), torch.from_numpy(np.stack(cs))
    noise, mpp = torch.randn_like(z), torch.full((len(z),), float(np.log2(a.mpp / 0.5)))
    with torch.no_grad():
        rows = [decode(z), decode(c[:, : condition.LATENT])]
        for g in (1, a.guidance, 0):
            rows.append(decode(solve(net, noise, c, mpp, a.steps, g)))
    pic = torch.cat([torch.cat(list(r), 2) for r in rows], 1).permute(1, 2, 0).numpy()
    Image.fromarray((pic * 255).round().astype(np.uint8)).save(a.out)
    print("steps", state["step"], "windows", state["seen"])


if __name__ == "__main__":
    main()
