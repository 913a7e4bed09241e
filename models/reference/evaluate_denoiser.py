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
from windows import Crops, sample

SHIPPED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights", "he_denoiser.safetensors")


def windows(its, n, size):
    """Latents [n, 16, size, size], conditions [n, 56, size, size], log2(mpp / 0.5) [n], none with the condition dropped."""
    rng = np.random.default_rng(7)
    its = [i for i in its if 2 * min(i.cells.shape[1:]) >= size]
    prob = items.weights([i.refresh() for i in its], {0.25: 0.25, 0.5: 0.5, 1.0: 0.25})
    pools, out = [Crops(i) for i in its], []
    while len(out) < n:
        i = rng.choice(len(its), p=prob)
        z, c, _ = sample(rng, pools[i], size)
        if c[condition.KNOWN].any():
            out.append((z, c, np.log2(its[i].mpp / 0.5)))
    z, c, mpp = zip(*out)
    return torch.from_numpy(np.stack(z)), torch.from_numpy(np.stack(c)), torch.tensor(mpp, dtype=torch.float32)


class Judge:
    """The loss of a denoiser on fixed windows, fixed noise and t = 0.1, 0.3 ... 0.9."""

    def __init__(self, its, data, n, size):
        self.z, c, self.mpp = windows(its, n, size)
        bare = c.clone()
        bare[:, : condition.KNOWN + 3] = 0
        self.given = c, bare, torch.zeros_like(c)
        self.noise = torch.randn(self.z.shape, generator=torch.Generator().manual_seed(1))
        energy = torch.from_numpy(np.load(f"{data}/energy.npy")).float() ** 0.25
        self.weight = (energy / energy.mean()).view(1, -1, 1, 1)

    @torch.no_grad()
    def losses(self, net):
        """With map and crops, with the map alone, with nothing."""
        device = next(net.parameters()).device
        out, n = [], len(self.z)
        for given in self.given:
            loss = 0.0
            for t in (0.1, 0.3, 0.5, 0.7, 0.9):
                for k in range(0, n, 32):
                    s = slice(k, k + 32)
                    z, noise = self.z[s], self.noise[s]
                    x = ((1 - t) * z + t * noise, given[s], torch.full((len(z),), t), self.mpp[s])
                    v = net(*(a.to(device) for a in x)).cpu()
                    loss += (self.weight * (v - (noise - z)) ** 2).mean().item() * len(z) / n / 5
            out.append(loss)
        return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--state")
    p.add_argument("--windows", type=int, default=128)
    p.add_argument("--window", type=int, default=16)
    a = p.parse_args()
    torch.set_num_threads(1)
    net = Denoiser().eval()
    state = torch.load(a.state, weights_only=True)["ema"] if a.state else {k: v.float() for k, v in load_file(SHIPPED).items()}
    net.load_state_dict(state)
    print("| images | map and crops | map alone | nothing |\n|---|---|---|---|")
    for split, name in (("train", "trained on"), ("test", "held out")):
        row = Judge(items.load(a.data, split), a.data, a.windows, a.window).losses(net)
        print(f"| {name} | {' | '.join(f'{v:.4f}' for v in row)} |", flush=True)


if __name__ == "__main__":
    main()
