"""Trains the tiny autoencoder in the teacher's 16-channel space. Resumable: the state file holds everything.

    python train_autoencoder.py --data DIR --state ae.pt --steps 20000 [--device cpu|cuda]
    python train_autoencoder.py --data DIR --state decoder.pt --decoder [--perceptual 0.1]

Loss: L1 + 4 MSE of the reconstruction, L1 of its finite differences, 0.05 MSE of our latents against the teacher's.
With --decoder the shipped encoder stays as it is (latents keep their meaning, so denoisers stay valid) and only the decoder goes on, from the
shipped weights, on latents of `data.py` (--latents ours); --perceptual adds differences of texture features (Perceptual), against the
smoothness of the mean of all plausible pictures.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import autoencoder
import efficientnet_lite0
import items
from autoencoder import Decoder, Encoder


class Perceptual(torch.nn.Module):
    """Differences of EfficientNet-lite0 features at strides 2, 4 and 8, each channel in units of its deviation: cell by cell (as in
    arXiv 1603.08155) and of their means and deviations over the window, which a smoothed texture misses most."""

    TAPS = (0, 2, 4)  # last blocks at these strides

    def __init__(self):
        super().__init__()
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights", "efficientnet_lite0.safetensors")
        self.net = efficientnet_lite0.load(root).requires_grad_(False)

    def taps(self, rgb):
        n, out = self.net, []
        x = F.relu6(n._bn0(n._conv_stem(efficientnet_lite0.same((rgb * 255 - 127) / 128, 3, 2))))
        for i, block in enumerate(n._blocks[: self.TAPS[-1] + 1]):
            x = block(x)
            if i in self.TAPS:
                out.append(x)
        return out

    def forward(self, made, real):
        """One value a picture."""
        with torch.no_grad():
            want = self.taps(real)
        loss = 0
        for m, r in zip(self.taps(made), want):
            unit = r.std((0, 2, 3), keepdim=True) + 1e-3
            d = (m - r) / unit
            moments = (d.mean((2, 3)) ** 2 + ((m.std((2, 3)) - r.std((2, 3))) / unit[..., 0, 0]) ** 2).mean(1)
            loss = loss + (d**2).mean((1, 2, 3)) + 4 * moments
        return loss / len(want)


def batch(its, p, rng, n, size):
    """RGB [n, 3, size, size] in [0, 1], latents, um/px."""
    xs, zs, mpp = [], [], []
    while len(xs) < n:
        it = its[rng.choice(len(its), p=p)]
        o = list(it.z)[rng.integers(len(it.z))]
        z = it.z[o]
        y, x = (rng.integers(0, z.shape[i + 1] - size // 8 + 1) for i in range(2))
        mpp.append(it.mpp)
        xs.append(it.rgb_window(o, 8 * y, 8 * x, size))
        zs.append(z[:, y : y + size // 8, x : x + size // 8])
    return torch.from_numpy(np.stack(xs)).float() / 255, torch.from_numpy(np.stack(zs)).float(), torch.tensor(mpp)


def psnr(a, b):
    return (-10 * torch.log10(((a - b) ** 2).mean((1, 2, 3)))).mean().item()


def evaluate(enc, dec, its, tiles=12):
    """Held-out PSNR in dB at each mpp, whole 256 px tiles (nct: 224)."""
    out = {}
    for mpp in (0.25, 0.5, 1.0):
        rng, xs = np.random.default_rng(1), []
        pick = [i for i in its if i.mpp == mpp and min(i.rgb.shape[:2]) >= 256]
        for j in range(tiles):
            a = pick[j % len(pick)].rgb
            y, x = rng.integers(a.shape[0] - 255), rng.integers(a.shape[1] - 255)
            xs.append(np.array(a[y : y + 256, x : x + 256]).transpose(2, 0, 1))
        x = torch.from_numpy(np.stack(xs)).float() / 255
        with torch.no_grad():
            dev = next(dec.parameters()).device
            out[mpp] = psnr(torch.cat([dec(enc(v.to(dev))).clamp(0, 1).cpu() for v in x.split(4)]), x)
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--state", required=True)
    p.add_argument("--steps", type=int, default=14000)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--decoder", action="store_true", help="go on with the shipped decoder, the encoder as it is")
    p.add_argument("--perceptual", type=float, default=0.0)
    p.add_argument("--minutes", type=float, default=1e9, help="with a rate that falls by the clock as well as by the steps")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    net = torch.nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()}).to(a.device, memory_format=torch.channels_last)
    ema = torch.nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()}).to(a.device)
    if a.decoder:
        for k, v in zip(("encoder", "decoder"), autoencoder.load()):
            net[k].load_state_dict(v.state_dict())
        net["encoder"].requires_grad_(False)
    ema.load_state_dict(net.state_dict())
    perceptual = Perceptual().to(a.device) if a.perceptual else None
    opt = torch.optim.AdamW([v for v in net.parameters() if v.requires_grad], a.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    step = 0
    if os.path.exists(a.state):
        s = torch.load(a.state, map_location=a.device, weights_only=True)
        net.load_state_dict(s["net"]), ema.load_state_dict(s["ema"]), opt.load_state_dict(s["opt"])
        step = s["step"]
    train = [i.refresh() for i in items.load(a.data, "train")]
    held = items.load(a.data, "test")
    prob = items.weights(train, {0.25: 0.3, 0.5: 0.4, 1.0: 0.3})
    rng = np.random.default_rng(step)
    t0, mean = time.time(), {}
    while step < a.steps and time.time() - t0 < 60 * a.minutes:
        warm, done = min(1, (step + 1) / 200), max(step / a.steps, (time.time() - t0) / (60 * a.minutes))
        for g in opt.param_groups:
            g["lr"] = float(a.lr * warm * (0.02 + 0.49 * (1 + np.cos(np.pi * done))))
        x, zt, mpp = (v.to(a.device) for v in batch(train, prob, rng, a.batch, a.size))
        with torch.autocast(a.device, torch.bfloat16):
            z = zt if a.decoder else net["encoder"](x)
            # a little noise keeps the decoder steady on sampled latents, which are never exact
            y = net["decoder"](z + 0.03 * torch.randn_like(z)).float()
        d = y - x
        rec = d.abs().mean() + 4 * (d**2).mean()
        edge = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
        lat = F.mse_loss(z.float(), zt)
        loss = rec + 0.5 * edge + 0.05 * lat
        if perceptual:
            # at 1 um/px little is texture; there the sharpness would cost PSNR and look like grain
            feel = (torch.where(mpp < 0.9, 1.0, 0.2) * perceptual(y, x)).mean()
            loss = loss + a.perceptual * feel
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        step += 1
        with torch.no_grad():
            m = min(0.998, step / (step + 20))
            for e, n in zip(ema.parameters(), net.parameters()):
                e.lerp_(n, 1 - m)
        seen = dict(rec=rec, edge=edge, lat=lat, mse=(d**2).mean()) | ({"feel": feel} if perceptual else {})
        for k, v in seen.items():
            mean[k] = 0.98 * mean.get(k, v.item()) + 0.02 * v.item()
        if step % 100 == 0:
            print(step, {k: round(v, 4) for k, v in mean.items()}, f"{step and (time.time() - t0):.0f}s", flush=True)
        if step % 500 == 0 or step == a.steps or time.time() - t0 >= 60 * a.minutes:
            print("held-out PSNR", {k: round(v, 2) for k, v in evaluate(ema["encoder"], ema["decoder"], held).items()}, flush=True)
            torch.save(dict(net=net.state_dict(), ema=ema.state_dict(), opt=opt.state_dict(), step=step), a.state + ".tmp")
            os.replace(a.state + ".tmp", a.state)


if __name__ == "__main__":
    main()
