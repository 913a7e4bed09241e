"""HTD-LDM, the published network (arXiv 2509.17847; design/method.md section 2), written from its published shapes: the reference for
models/src/htd, core/src/diffuse/ddim.rs and core/src/condition/paper.rs. Modules are named so that state_dict() has the keys of a
CompVis latent-diffusion checkpoint without their prefixes.

The first stage maps 256 px RGB in [-1, 1] to 3 x 64 x 64 and back through a codebook; the UNet predicts the noise of x_t from x_t and
the condition, which a bias-free 1x1 convolution makes of class planes reduced 4 x 4.
"""
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

GROUPS, HEADS, BLOCKS = 32, 8, 2
UNET_EPS, VQ_EPS = 1e-5, 1e-6


# ---- UNet ----

class Res(nn.Module):
    """[b, c_in, h, w], silu'd embedding [b, e] -> [b, c_out, h, w]."""

    def __init__(self, c_in, c_out, e):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, c_in, UNET_EPS), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(e, c_out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, c_out, UNET_EPS), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x, e):
        h = self.in_layers(x) + self.emb_layers(e)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    """Self-attention over all cells; rows of qkv are ordered head by head, in each q, k, v."""

    def __init__(self, c):
        super().__init__()
        self.norm, self.qkv, self.proj_out = nn.GroupNorm(GROUPS, c, UNET_EPS), nn.Conv1d(c, 3 * c, 1), nn.Conv1d(c, c, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        flat = x.reshape(b, c, h * w)
        q, k, v = self.qkv(self.norm(flat)).reshape(b * HEADS, 3 * c // HEADS, h * w).chunk(3, 1)
        shares = torch.einsum("bdn,bdm->bnm", q, k).mul(1 / math.sqrt(c // HEADS)).softmax(-1)
        out = torch.einsum("bnm,bdm->bdn", shares, v).reshape(b, c, h * w)
        return (flat + self.proj_out(out)).reshape(b, c, h, w)


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.op = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x):
        return self.op(x)


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def features(t, n):
    """Timesteps [b] -> [b, n]: cosines, then sines, at n/2 frequencies from 1 down to 1e-4."""
    f = torch.exp(-math.log(10000) * torch.arange(n // 2, dtype=torch.float32) / (n // 2))
    a = t.float()[:, None] * f[None]
    return torch.cat([a.cos(), a.sin()], 1)


class Unet(nn.Module):
    def __init__(self, c_in=6, c_out=3, widths=(128, 512, 1024)):
        super().__init__()
        self.widths, e, c = widths, 4 * widths[0], widths[0]
        self.time_embed = nn.Sequential(nn.Linear(c, e), nn.SiLU(), nn.Linear(e, e))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(c_in, c, 3, padding=1)])])
        skips = [c]
        for level, width in enumerate(widths):
            for _ in range(BLOCKS):
                self.input_blocks.append(nn.ModuleList([Res(c, width, e)]))
                c = width
                skips.append(c)
            if level + 1 < len(widths):
                self.input_blocks.append(nn.ModuleList([Down(c)]))
                skips.append(c)
        self.middle_block = nn.ModuleList([Res(c, c, e), Attention(c), Res(c, c, e)])
        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for i in range(BLOCKS + 1):
                parts = [Res(c + skips.pop(), width, e)]
                c = width
                if level and i == BLOCKS:
                    parts.append(Up(c))
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, c, UNET_EPS), nn.SiLU(), nn.Conv2d(c, c_out, 3, padding=1))

    def forward(self, x, t):
        """x_t and condition stacked [b, 6, h, w], t [b] in 0..1000 -> noise [b, 3, h, w]; h and w multiples of 4."""
        e = self.time_embed(features(t, self.widths[0]))
        skips = []
        for (part,) in self.input_blocks:
            x = part(x, e) if isinstance(part, Res) else part(x)
            skips.append(x)
        first, attention, second = self.middle_block
        x = second(attention(first(x, e)), e)
        for parts in self.output_blocks:
            x = parts[0](torch.cat([x, skips.pop()], 1), e)
            if len(parts) > 1:
                x = parts[1](x)
        return self.out(x)


class Rescaler(nn.Module):
    """Class planes [b, c, h, w] -> condition [b, 3, h/4, w/4]."""

    def __init__(self, c_in, c_out=3):
        super().__init__()
        self.channel_mapper = nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x):
        for _ in range(2):
            x = F.interpolate(x, scale_factor=0.5, mode="bilinear")
        return self.channel_mapper(x)


# ---- first stage ----

class Block(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, c_in, VQ_EPS), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, c_out, VQ_EPS), nn.Conv2d(c_out, c_out, 3, padding=1)
        if c_in != c_out:
            self.nin_shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x):
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class OneHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, c, VQ_EPS)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        n = self.norm(x)
        q, k, v = (f(n).flatten(2) for f in (self.q, self.k, self.v))
        shares = torch.einsum("bdn,bdm->bnm", q, k).mul(q.shape[1] ** -0.5).softmax(-1)
        return x + self.proj_out(torch.einsum("bnm,bdm->bdn", shares, v).reshape(x.shape))


class Sample(nn.Module):
    """The convolution of a change of size: down pads right and below only, up follows a nearest enlargement."""

    def __init__(self, c, down):
        super().__init__()
        self.down, self.conv = down, nn.Conv2d(c, c, 3, stride=2 if down else 1, padding=0 if down else 1)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2.0, mode="nearest"))


def middle(c):
    return nn.ModuleDict({"block_1": Block(c, c), "attn_1": OneHead(c), "block_2": Block(c, c)})


def through(mid, x):
    return mid["block_2"](mid["attn_1"](mid["block_1"](x)))


class Encoder(nn.Module):
    def __init__(self, widths, z):
        super().__init__()
        c = widths[0]
        self.conv_in, self.down = nn.Conv2d(3, c, 3, padding=1), nn.ModuleList()
        for level, width in enumerate(widths):
            part = nn.ModuleDict({"block": nn.ModuleList([Block(c, width), Block(width, width)])})
            c = width
            if level + 1 < len(widths):
                part["downsample"] = Sample(c, True)
            self.down.append(part)
        self.mid, self.norm_out, self.conv_out = middle(c), nn.GroupNorm(GROUPS, c, VQ_EPS), nn.Conv2d(c, z, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for part in self.down:
            for block in part["block"]:
                x = block(x)
            x = part["downsample"](x) if "downsample" in part else x
        return self.conv_out(F.silu(self.norm_out(through(self.mid, x))))


class Decoder(nn.Module):
    def __init__(self, widths, z):
        super().__init__()
        c = widths[-1]
        self.conv_in, self.mid, up = nn.Conv2d(z, c, 3, padding=1), middle(c), []
        for level, width in reversed(list(enumerate(widths))):
            part = nn.ModuleDict({"block": nn.ModuleList([Block(c, width)] + [Block(width, width) for _ in range(BLOCKS)])})
            c = width
            if level:
                part["upsample"] = Sample(c, False)
            up.insert(0, part)
        self.up, self.norm_out, self.conv_out = nn.ModuleList(up), nn.GroupNorm(GROUPS, c, VQ_EPS), nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, z):
        x = through(self.mid, self.conv_in(z))
        for part in reversed(self.up):
            for block in part["block"]:
                x = block(x)
            x = part["upsample"](x) if "upsample" in part else x
        return self.conv_out(F.silu(self.norm_out(x)))


class Vq(nn.Module):
    def __init__(self, widths=(128, 256, 512), z=3, embed=3, codes=8192):
        super().__init__()
        self.encoder, self.decoder = Encoder(widths, z), Decoder(widths, z)
        self.quantize = nn.ModuleDict({"embedding": nn.Embedding(codes, embed)})
        self.quant_conv, self.post_quant_conv = nn.Conv2d(z, embed, 1), nn.Conv2d(embed, z, 1)

    def encode(self, x):
        """[b, 3, h, w] in [-1, 1] -> [b, 3, h/4, w/4], not quantised."""
        return self.quant_conv(self.encoder(x))

    def quantise(self, z):
        """Each cell's nearest code."""
        codes = self.quantize["embedding"].weight
        flat = z.permute(0, 2, 3, 1)
        nearest = (flat[..., None, :] - codes).square().sum(-1).argmin(-1)
        return codes[nearest].permute(0, 3, 1, 2)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(self.quantise(z)))


# ---- diffusion ----

def alphas_cumprod():
    return np.cumprod(1 - np.linspace(0.0015**0.5, 0.0205**0.5, 1000) ** 2)


def schedule(steps, eta):
    """Timesteps ascending, with alpha, alpha of the step after (nearer the image) and sigma of each."""
    all_alphas, t = alphas_cumprod(), np.arange(0, 1000, 1000 // steps) + 1
    a, before = all_alphas[t], np.concatenate([all_alphas[:1], all_alphas[t[:-1]]])
    return t, a, before, eta * np.sqrt((1 - before) / (1 - a) * (1 - a / before))


def ddim(eps, x, noises, eta):
    """x from noise to latents; eps(x, t) is the network, noises one array a step."""
    t, a, before, sigma = schedule(len(noises), eta)
    for i, noise in enumerate(noises):
        k = len(noises) - 1 - i
        e = eps(x, torch.full((x.shape[0],), int(t[k])))
        z = (x - math.sqrt(1 - a[k]) * e) / math.sqrt(a[k])
        x = math.sqrt(before[k]) * z + math.sqrt(1 - before[k] - sigma[k] ** 2) * e + sigma[k] * noise
    return x


# ---- condition ----

def largest_rectangle(inside):
    """(row, column, height, width) of the largest rectangle of a boolean map; among equals the uppermost, leftmost, tallest."""
    h, w = inside.shape
    sums = np.pad(inside.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, found = (0,), None
    for r in range(h):
        for c in range(w):
            for r2 in range(r + 1, h + 1):
                for c2 in range(c + 1, w + 1):
                    area = (r2 - r) * (c2 - c)
                    if sums[r2, c2] - sums[r, c2] - sums[r2, c] + sums[r, c] < area:
                        break
                    if (area, -r, -c, r2 - r) > best:
                        best, found = (area, -r, -c, r2 - r), (r, c, r2 - r, c2 - c)
    return found


def condition(labels, crops, background):
    """Labels [h, w] (0 = background, class i + 1 = crops[i]) and crops (uint8 [h, w, 3] or None) -> [c, h, w]. A crop is cut to the
    largest rectangle inside its class, both centred."""
    planes = [(labels == 0)[None].astype(np.float32)] if background else []
    for i, crop in enumerate(crops):
        inside = labels == i + 1
        planes.append(inside[None].astype(np.float32))
        rgb = np.zeros((3, *labels.shape), np.float32)
        place = largest_rectangle(inside)
        if crop is not None and place is not None:
            r, c, h, w = place
            ch, cw = min(h, crop.shape[0]), min(w, crop.shape[1])
            y, x = (crop.shape[0] - ch) // 2, (crop.shape[1] - cw) // 2
            r, c = r + (h - ch) // 2, c + (w - cw) // 2
            rgb[:, r:r + ch, c:c + cw] = crop[y:y + ch, x:x + cw].transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        planes.append(rgb)
    return np.concatenate(planes)
