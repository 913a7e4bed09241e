"""Loss of a denoiser on windows it was trained on and on held-out images, with and without its condition.

    python evaluate_denoiser.py --data DIR [--state unet.pt] [--windows 128] [--window 16]

Without a state: the shipped weights. The loss is that of training (train_denoiser.py), at t = 0.1, 0.3 ... 0.9 on the same noise for all
columns: the whole condition, the map without crops, nothing. Windows: half at 0.5 um/px, a quarter each at 0.25 and 1.
"""
import argparse
import os

import numpy as np
import torch
from safetensors.torch import load_file

import condition
import items
from denoiser import Denoiser
from train_denoiser import Crops, sample

SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights", "he_denoiser.safetensors")


def windows(its, n, size):
    """Latents [n, 16, size, size], conditions [n, 56, size, size], log2(mpp / 0.5) [n], none with the condition dropped."""
    rng = np.random.default_rng(7)
    its = [i for i in its if 2 * min(i.cells.shape[1:]) >= size]
    prob = items.weights([i.refresh() for i in its], {0.25: 0.25, 0.5: 0.5, 1.0: 0.25})
    pools, out = [Crops(i) for i in its], []
    while len(out) < n:
        i = rng.choice(len(its), p=prob)
        z, c = sample(rng, pools[i], size)
        if c[condition.KNOWN].any():
            out.append((z, c, np.log2(its[i].mpp / 0.5)))
    z, c, mpp = zip(*out)
    return torch.from_numpy(np.stack(z)), torch.from_numpy(np.stack(c)), torch.tensor(mpp, dtype=torch.float32)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--state")
    p.add_argument("--windows", type=int, default=128)
    p.add_argument("--window", type=int, default=16)
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    net = Denoiser().eval()
    state = torch.load(a.state, weights_only=True)["ema"] if a.state else {k: v.float() for k, v in load_file(SHIPPED).items()}
    net.load_state_dict(state)
    energy = torch.from_numpy(np.load(f"{a.data}/energy.npy")).float() ** 0.25
    weight = (energy / energy.mean()).view(1, -1, 1, 1)
    print("| images | map and crops | map alone | nothing |\n|---|---|---|---|")
    for split, name in (("train", "trained on"), ("test", "held out")):
        z, c, mpp = windows(items.load(a.data, split), a.windows, a.window)
        bare = c.clone()
        bare[:, : condition.KNOWN + 3] = 0
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
        row = []
        for given in (c, bare, torch.zeros_like(c)):
            loss = 0.0
            for t in (0.1, 0.3, 0.5, 0.7, 0.9):
                for k in range(0, len(z), 32):
                    s = slice(k, k + 32)
                    v = net((1 - t) * z[s] + t * noise[s], given[s], torch.full((len(z[s]),), t), mpp[s])
                    loss += (weight * (v - (noise[s] - z[s])) ** 2).mean().item() * len(z[s]) / len(z) / 5
            row.append(f"{loss:.4f}")
        print(f"| {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
