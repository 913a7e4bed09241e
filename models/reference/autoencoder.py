"""Our tiny H&E autoencoder (f8, 16 channels of unit variance), in PyTorch (the reference for autoencoder.rs).

Most of the work happens at 1/4 and 1/8 of the resolution; pixels are packed and unpacked by space-to-depth, so a 256 px tile costs
less than half of TAESD-like decoders, which run 64 channels at full size. RGB in [0, 1].
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

LATENT = 16


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
