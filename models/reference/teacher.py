"""The teacher's latent space: TAEF2 (madebyollin/taesd, MIT) seen through a fixed linear projection to 16 channels.

The teacher has 32 latent channels; most of their variance does not reach the picture. With S the covariance of its latents and
G the Gram matrix of the decoder's response to a unit step in each channel, the leading eigenvectors V of S^1/2 G S^1/2 are the
directions that carry pixel energy. z = V^T S^-1/2 (z_teacher - mean) has unit variance and needs 16 channels for 98 % of that
energy (measured on H&E: 35.0 / 30.1 / 28.4 dB at 40x / 20x / 10x through the teacher's own decoder against 35.9 / 31.8 / 30.5 dB
with all 32). Our own autoencoder learns this space; TAEF2 itself is not shipped.
"""
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

CHANNELS = 16


class Block(nn.Module):
    def __init__(self, c, pool=False):
        super().__init__()
        conv = lambda: nn.Conv2d(c, c, 3, padding=1)
        self.conv = nn.Sequential(conv(), nn.ReLU(), conv(), nn.ReLU(), conv())
        self.pool = nn.Sequential(nn.Conv2d(c, 256, 1, bias=False), nn.GroupNorm(4, 256), nn.ReLU(), nn.Conv2d(256, c, 1, bias=False)) if pool else None

    def forward(self, x):
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


def _load(layers, path):
    net = nn.Sequential(*layers)
    net.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return net.eval()


def taef2_encoder(weights):
    c = lambda i, o, **k: nn.Conv2d(i, o, 3, padding=1, **k)
    down = lambda pool: [c(64, 64, stride=2, bias=False)] + [Block(64, pool) for _ in range(3)]
    return _load([c(3, 64), Block(64), *down(False), *down(False), *down(True), c(64, 32)], f"{weights}/taef2_encoder/taef2_encoder.safetensors")


def taef2_decoder(weights):
    c = lambda i, o, **k: nn.Conv2d(i, o, 3, padding=1, **k)
    up = lambda: [nn.Upsample(scale_factor=2), c(64, 64, bias=False)]
    blocks = lambda pool: [Block(64, pool) for _ in range(3)]
    layers = [Clamp(), c(32, 64), nn.ReLU(), *blocks(True), *up(), *blocks(False), *up(), *blocks(False), *up(), Block(64), c(64, 3)]
    return _load(layers, f"{weights}/taef2_decoder/taef2_decoder.safetensors")


def random_tiles(rgb_files, n, size):
    """[n, 3, size, size] in [0, 1] from random places of random images."""
    rng, x = np.random.default_rng(0), []
    while len(x) < n:
        a = np.load(rgb_files[rng.integers(len(rgb_files))], mmap_mode="r")
        y, w = rng.integers(a.shape[0] - size + 1), rng.integers(a.shape[1] - size + 1)
        x.append(np.array(a[y : y + size, w : w + size]))
    return torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).float() / 255


def responses(decoder, z):
    """Gram matrix [c, c] of a decoder's response in pixels to a unit step in each channel of one latent cell."""
    base = decoder(z)
    dots = torch.zeros(1, 1, *z.shape[2:])
    dots[:, :, 4::8, 4::8] = 1  # responses of separate dots do not overlap much
    r = []
    for i in range(z.shape[1]):
        d = z.clone()
        d[:, i : i + 1] += 0.1 * dots
        r.append(((decoder(d) - base) / 0.1).flatten())
    r = torch.stack(r)
    return r @ r.T / (dots.sum() * len(z))


class Teacher(nn.Module):
    """Called with RGB [b, 3, h, w] in [0, 255]; returns z [b, 16, h/8, w/8] of unit variance."""

    def __init__(self, weights, projection):
        super().__init__()
        self.encoder, self.decoder, self.path = taef2_encoder(weights), taef2_decoder(weights), projection
        if self.fitted():
            self._read()

    def fitted(self):
        return os.path.exists(self.path)

    def _read(self):
        p = np.load(self.path)
        self.mean, self.to_z, self.from_z = (torch.from_numpy(p[k]) for k in ("mean", "to_z", "from_z"))

    def fit(self, rgb_files, tiles=120, size=192):
        """Chooses the projection, writes it, and returns the share of pixel energy of each channel."""
        x = random_tiles(rgb_files, tiles, size)
        with torch.no_grad():
            z = torch.cat([self.encoder(v) for v in x.split(8)])
            mean = z.mean((0, 2, 3))
            s = torch.cov((z - mean[:, None, None]).permute(1, 0, 2, 3).flatten(1))
            g = responses(self.decoder, z[:12])
            e, u = torch.linalg.eigh(s)
            root = u @ torch.diag(e.sqrt()) @ u.T
            inv = u @ torch.diag(e.rsqrt()) @ u.T
            w, v = torch.linalg.eigh(root @ g @ root)
            w, v = w.flip(0), v.flip(1)[:, :CHANNELS]
        np.savez(self.path, mean=mean.numpy(), to_z=(v.T @ inv).numpy(), from_z=(root @ v).numpy(), energy=(w / w.sum()).numpy())
        print("projection: pixel energy kept", float((w / w.sum())[:CHANNELS].sum()), flush=True)
        self._read()
        return (w / w.sum())[:CHANNELS].numpy()

    def forward(self, rgb):
        with torch.autocast("cpu", torch.bfloat16):
            z = self.encoder(rgb / 255)
        return torch.einsum("oi,bihw->bohw", self.to_z, z.float() - self.mean[:, None, None])

    def decode(self, z):
        """z [b, 16, h, w] -> RGB in [0, 1] through the teacher's decoder (a yardstick, never shipped)."""
        return self.decoder(torch.einsum("oi,bihw->bohw", self.from_z, z) + self.mean[:, None, None]).clamp(0, 1)
