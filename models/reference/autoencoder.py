"""Our tiny H&E autoencoder (f8, 16 channels of unit variance), in PyTorch (the reference for autoencoder.rs).

Most of the work happens at 1/4 and 1/8 of the resolution; pixels are packed and unpacked by space-to-depth, so a 256 px tile costs
less than half of TAESD-like decoders, which run 64 channels at full size. RGB in [0, 1].
"""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

LATENT = 16
WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights", "he_autoencoder.safetensors")


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def blocks(c, n):
    return nn.ModuleList([Block(c) for _ in range(n)])


class Encoder(nn.Module):
    """rgb [b, 3, h, w] -> z [b, 16, h/8, w/8]"""

    def __init__(self, widths=(64, 96, 160), depth=(2, 2, 3)):
        super().__init__()
        a, b, c = widths
        self.input = nn.Conv2d(12, a, 3, padding=1)
        self.level2, self.level4, self.level8 = blocks(a, depth[0]), blocks(b, depth[1]), blocks(c, depth[2])
        self.down4, self.down8 = nn.Conv2d(a, b, 2, stride=2), nn.Conv2d(b, c, 2, stride=2)
        self.output = nn.Conv2d(c, LATENT, 3, padding=1)

    def forward(self, rgb):
        x = self.input(F.pixel_unshuffle(rgb * 2 - 1, 2))
        for b in self.level2:
            x = b(x)
        x = self.down4(x)
        for b in self.level4:
            x = b(x)
        x = self.down8(x)
        for b in self.level8:
            x = b(x)
        return self.output(F.relu(x))


class Decoder(nn.Module):
    """z [b, 16, h, w] -> rgb [b, 3, 8h, 8w], not yet clamped"""

    def __init__(self, widths=(64, 96, 192), depth=(3, 3, 3)):
        super().__init__()
        a, b, c = widths
        self.input = nn.Conv2d(LATENT, c, 3, padding=1)
        self.level8, self.level4, self.level2 = blocks(c, depth[2]), blocks(b, depth[1]), blocks(a, depth[0])
        self.up4, self.up2 = nn.Conv2d(c, 4 * b, 1), nn.Conv2d(b, 4 * a, 1)
        self.output = nn.Conv2d(a, 12, 3, padding=1)

    def forward(self, z):
        x = self.input(torch.tanh(z / 4) * 4)
        for b in self.level8:
            x = b(x)
        x = F.pixel_shuffle(self.up4(F.relu(x)), 2)
        for b in self.level4:
            x = b(x)
        x = F.pixel_shuffle(self.up2(F.relu(x)), 2)
        for b in self.level2:
            x = b(x)
        return F.pixel_shuffle(self.output(F.relu(x)), 2) * 0.5 + 0.5


def load(path=WEIGHTS):
    """Encoder and decoder with the shipped weights."""
    have = {k: v.float() for k, v in load_file(path).items()}
    pair = {"encoder": Encoder().eval(), "decoder": Decoder().eval()}
    for name, net in pair.items():
        net.load_state_dict({k[len(name) + 1 :]: v for k, v in have.items() if k.startswith(name)})
    return pair["encoder"], pair["decoder"]


class Shipped(nn.Module):
    """The latents that crops have at run time. Called with RGB [b, 3, h, w] in [0, 255]; returns z [b, 16, h/8, w/8]."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = load()

    def fit(self, rgb_files):
        """The share of pixel energy of each channel: its variance times the decoder's response to it."""
        from teacher import random_tiles, responses

        with torch.no_grad():
            device = self.encoder.output.weight.device
            z = torch.cat([self.encoder(v.to(device)) for v in random_tiles(rgb_files, 120, 192).split(8)])
            energy = z.var((0, 2, 3)).cpu() * responses(self.decoder.cpu(), z[:12].cpu()).diagonal()
        print("latent mean", z.mean((0, 2, 3)).cpu().numpy().round(2), "deviation", z.std((0, 2, 3)).cpu().numpy().round(2), flush=True)
        return (energy / energy.sum()).cpu().numpy()

    def forward(self, rgb):
        with torch.autocast(rgb.device.type, torch.bfloat16):
            return self.encoder(rgb / 255).float()
