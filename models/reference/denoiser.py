"""The default denoiser: a UNet over 16-channel latents, conditioned on a crop field, in PyTorch (the reference for denoiser.rs).

Input channels: noisy latents x_t (16), then the condition (56, condition.py). The condition enters twice: beside x_t, and through an
encoder of its own (three resolutions) whose features every block adds after its first convolution, so that what is asked for is heard
at every depth. The encoder does not depend on t: a sampler may run it once.
Output: the velocity v = noise - z of the straight path x_t = (1 - t) z + t noise (rectified flow, arXiv 2209.03003).
Two scalars modulate every block: t in [0, 1] and log2(mpp / 0.5).
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from condition import CHANNELS, LATENT

GROUPS, HEAD = 16, 40
WIDTHS, ASKED = (80, 160, 240), 96


def scalar_features(x, dim):
    """[b] -> [b, dim]: cosines then sines of x at dim/2 geometric frequencies from 1 down to 1e-4."""
    f = torch.exp(-math.log(10000.0) * torch.arange(dim // 2, dtype=torch.float32, device=x.device) / (dim // 2))
    a = x.float()[:, None] * f[None]
    return torch.cat([a.cos(), a.sin()], 1).to(x.dtype)


class Res(nn.Module):
    def __init__(self, cin, cout, emb):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.asked = nn.Conv2d(ASKED, cout, 1)
        self.film = nn.Linear(emb, 2 * cout)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, cout), nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else None
        for zero in (self.conv2, self.asked):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def forward(self, x, e, c):
        h = self.conv1(F.silu(self.norm1(x))) + self.asked(c)
        scale, shift = self.film(e)[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return h + (x if self.skip is None else self.skip(x))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.norm, self.qkv, self.out = c // HEAD, nn.GroupNorm(GROUPS, c), nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        b, c, h, w = x.shape
        t = self.norm(x).flatten(2).transpose(1, 2)  # [b, hw, c]
        q, k, v = (u.reshape(b, h * w, self.heads, c // self.heads).transpose(1, 2) for u in self.qkv(t).chunk(3, -1))
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return x + self.out(a).transpose(1, 2).reshape(b, c, h, w)


class Denoiser(nn.Module):
    def __init__(self, widths=WIDTHS):
        super().__init__()
        w0, w1, w2 = widths
        emb = 4 * w0
        self.features = w0
        self.time1, self.time2 = nn.Linear(w0, emb), nn.Linear(emb, emb)
        self.mpp = nn.Linear(w0, emb)
        self.input = nn.Conv2d(LATENT + CHANNELS, w0, 3, padding=1)
        self.ask0 = nn.Conv2d(CHANNELS, ASKED, 3, padding=1)
        self.ask1, self.ask2 = (nn.Conv2d(ASKED, ASKED, 3, stride=2, padding=1) for _ in range(2))
        self.down0 = nn.ModuleList([Res(w0, w0, emb), Res(w0, w0, emb)])
        self.pool0 = nn.Conv2d(w0, w0, 3, stride=2, padding=1)
        self.down1 = nn.ModuleList([Res(w0, w1, emb), Res(w1, w1, emb)])
        self.pool1 = nn.Conv2d(w1, w1, 3, stride=2, padding=1)
        self.down2 = nn.ModuleList([Res(w1, w2, emb), Res(w2, w2, emb)])
        self.attn2 = nn.ModuleList([Attention(w2), Attention(w2)])
        self.mid1, self.mid_attn, self.mid2 = Res(w2, w2, emb), Attention(w2), Res(w2, w2, emb)
        self.up2 = nn.ModuleList([Res(2 * w2, w2, emb), Res(2 * w2, w2, emb)])
        self.grow1 = nn.Conv2d(w2, w1, 3, padding=1)
        self.up1 = nn.ModuleList([Res(2 * w1, w1, emb), Res(2 * w1, w1, emb)])
        self.grow0 = nn.Conv2d(w1, w0, 3, padding=1)
        self.up0 = nn.ModuleList([Res(2 * w0, w0, emb), Res(2 * w0, w0, emb)])
        self.norm, self.output = nn.GroupNorm(GROUPS, w0), nn.Conv2d(w0, LATENT, 3, padding=1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x, condition, t, log_mpp):
        """x [b, 16, h, w], condition [b, 56, h, w], t [b] in [0, 1], log_mpp [b] -> v [b, 16, h, w]; h, w multiples of 4."""
        e = self.time2(F.silu(self.time1(scalar_features(1000 * t, self.features))))
        e = F.silu(e + self.mpp(scalar_features(100 * log_mpp, self.features)))
        c0 = F.silu(self.ask0(condition))
        c1 = F.silu(self.ask1(c0))
        c2 = F.silu(self.ask2(c1))
        x = self.input(torch.cat([x, condition], 1))
        skips = []
        for r in self.down0:
            x = r(x, e, c0)
            skips.append(x)
        x = self.pool0(x)
        for r in self.down1:
            x = r(x, e, c1)
            skips.append(x)
        x = self.pool1(x)
        for r, a in zip(self.down2, self.attn2):
            x = a(r(x, e, c2))
            skips.append(x)
        x = self.mid2(self.mid_attn(self.mid1(x, e, c2)), e, c2)
        for r in self.up2:
            x = r(torch.cat([x, skips.pop()], 1), e, c2)
        x = self.grow1(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        for r in self.up1:
            x = r(torch.cat([x, skips.pop()], 1), e, c1)
        x = self.grow0(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        for r in self.up0:
            x = r(torch.cat([x, skips.pop()], 1), e, c0)
        return self.output(F.silu(self.norm(x)))
