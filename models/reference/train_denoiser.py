"""Trains the default denoiser on the folders of data.py. Resumable: the state file holds everything.

    python train_denoiser.py --data DIR --state unet.pt --steps 40000 [--window 16] [--batch 32] [--device cpu|cuda] [--workers 14] [--decay]
    torchrun --nproc-per-node N train_denoiser.py --device cuda ...

Objective: rectified flow, v = noise - z; squared error weighted by a channel's share of pixel energy ^ 1/4. t = 2 u / (1 + u) with
u = sigmoid(normal), a tenth of t is uniform: measured, the condition matters above t = 0.8 and hardly below (the loss without it is
higher by 0.09 at t = 0.95, by 0.004 at 0.5). A tenth of the conditions is dropped whole; of the others a tenth loses the crops, a
sixth the textures, half the measures, each by itself. Crops come from elsewhere in the same image, in any orientation of it, never
from the target window. A class's texture is the mean embedding of its crops or, in half the windows, of its region in the target:
sixteen numbers that tell the network that textures are to be believed. Measures are those of the region in the target.

Optimiser: AdamW; with --muon, Muon for the matrices between the first and the last layer. Muon learns the training images several times
faster and no more of others: 180 000 windows from the shipped weights took the loss on training images from 0.987 to 0.951 and that on
held-out ones from 1.045 to 1.056 (evaluate_denoiser.py), so with data this small watch the held-out loss.
"""
import argparse
import os
import time

import numpy as np
import torch
from safetensors.torch import load_file

import condition
import items
import processes
from denoiser import Denoiser
from evaluate_denoiser import Judge
from muon import Muon
from windows import Stream


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--state", required=True)
    p.add_argument("--init", help="safetensors to start from when there is no state yet")
    p.add_argument("--steps", type=int, default=40000)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--window", type=int, default=16, help="latent cells a side (8 px each)")
    p.add_argument("--lr", type=float, default=4e-4)
    p.add_argument("--decay", action="store_true", help="let the rate fall to zero from the current step to --steps")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--minutes", type=float, default=1e9)
    p.add_argument("--device", default="cpu")
    p.add_argument("--workers", type=int, default=0, help="processes that draw windows; 0: this one")
    p.add_argument("--muon", action="store_true")
    p.add_argument("--compile", action="store_true", help="torch.compile: a fifth faster on a CPU after minutes of compiling")
    a = p.parse_args()
    rank, world = processes.join(a.device)
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    net = Denoiser().to(a.device, memory_format=torch.channels_last)
    ema = Denoiser().to(a.device)
    hidden = [p for n, p in net.named_parameters() if p.ndim > 1 and not n.startswith(("input", "output"))] if a.muon else []
    rest = [p for p in net.parameters() if not any(p is q for q in hidden)]
    opts = [torch.optim.AdamW(rest, a.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)] + ([Muon(hidden, a.lr)] if a.muon else [])
    step, seen, log = 0, 0, []
    if os.path.exists(a.state):
        s = torch.load(a.state, map_location=a.device, weights_only=True)
        net.load_state_dict(s["net"]), ema.load_state_dict(s["ema"]), [o.load_state_dict(v) for o, v in zip(opts, s["opt"])]
        step, seen, log = s["step"], s["seen"], s["log"]
    else:
        if a.init:
            start(net, {k: v.float() for k, v in load_file(a.init).items()})
        ema.load_state_dict(net.state_dict())
    model = torch.nn.parallel.DistributedDataParallel(net) if world > 1 else net
    model = torch.compile(model) if a.compile else model
    energy = torch.from_numpy(np.load(f"{a.data}/energy.npy")).float() ** 0.25
    weight = (energy / energy.mean()).view(1, -1, 1, 1).to(a.device)
    batches = Stream(items.load(a.data, "train"), a.window, a.batch, (step, rank)).batches(a.workers, a.device)
    torch.manual_seed(step * world + rank)
    judge = Judge(items.load(a.data, "test"), a.data, 64, a.window)
    t0, first, mean = time.time(), step, None
    while step < a.steps and time.time() - t0 < 60 * a.minutes:
        lr = a.lr * min(1, (step + 1) / 500)
        if a.decay:  # by steps or by the clock, whichever ends first
            left = 1 - max((step - first) / (a.steps - first), (time.time() - t0) / (60 * a.minutes))
            lr *= max(left, 0.01)
        for g in (g for o in opts for g in o.param_groups):
            g["lr"] = lr
        z, c, mpp = next(batches)
        u = torch.sigmoid(torch.randn(a.batch, device=a.device))
        t = torch.where(torch.rand_like(u) < 0.1, torch.rand_like(u), 2 * u / (1 + u))
        noise, tt = torch.randn_like(z), t.view(-1, 1, 1, 1)
        with torch.autocast(a.device, torch.bfloat16):
            v = model(((1 - tt) * z + tt * noise).contiguous(memory_format=torch.channels_last), c, t, mpp)
        loss = (weight * (v.float() - (noise - z)) ** 2).mean()
        net.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
        step, seen = step + 1, seen + a.batch * world
        with torch.no_grad():
            m = min(0.9995, step / (step + 10))
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - m)
            mean = loss.detach() if mean is None else mean.lerp(loss, 0.01)
        if rank == 0 and step % 100 == 0:
            log.append((step, seen, round(mean.item(), 4)))
            print(*log[-1], f"lr {lr:.1e}", f"{(step - first) * a.batch / (time.time() - t0):.1f} windows/s", flush=True)
        if rank == 0 and step % 500 == 0:
            print("held out:", " ".join(f"{v:.4f}" for v in judge.losses(ema)), "(map and crops, map alone, nothing)", flush=True)
        if rank == 0 and step % 250 == 0:
            save(a.state, net, ema, opts, step, seen, log)
    if rank == 0:
        save(a.state, net, ema, opts, step, seen, log)


def start(net, have):
    """Takes what older weights hold; what they lack stays as it was made, and input channels they lack begin at zero."""
    own = net.state_dict()
    w = own["input.weight"].zero_()
    old = have.pop("input.weight")
    at = list(range(3 * condition.LATENT)) + [condition.LATENT + condition.KNOWN + i for i in (0, 3, 4)] if old.shape[1] == 51 else list(range(len(w[0])))
    w[:, at] = old.to(w.device)
    net.load_state_dict(have | {"input.weight": w}, strict=False)


def save(path, net, ema, opts, step, seen, log):
    torch.save(dict(net=net.state_dict(), ema=ema.state_dict(), opt=[o.state_dict() for o in opts], step=step, seen=seen, log=log), path + ".tmp")
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    main()
