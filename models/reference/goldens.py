"""Writes the golden numbers that the Rust networks are tested against: small inputs and what PyTorch makes of them.

    python goldens.py        writes ../tests/data/goldens.safetensors

The encoder runs with its shipped weights, as do autoencoder and denoiser under the names that begin with "shipped_": run this again
when they change. Besides, these two run with small widths and weights made by a formula from their names, so that the file need not
hold them: names and shapes are in its metadata, and the Rust tests apply the same formula.
"""
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import autoencoder
import efficientnet_lite0
from autoencoder import Decoder, Encoder
from condition import CHANNELS
from denoiser import Denoiser

HERE = pathlib.Path(__file__).parent
OUT = HERE.parent / "tests" / "data" / "goldens.safetensors"


def made_up(name, shape):
    """Values in [-1, 1) from a hash of name and index, scaled to keep activations near 1; norms' weights lie around 1."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32  # FNV-1a
    x = (np.arange(np.prod(shape), dtype=np.uint64) + seed) * 0x9E3779B1 % 2**32
    for shift, factor in ((15, 0x85EBCA77), (13, 0xC2B2AE3D)):  # a finaliser in the manner of xxHash32
        x = (x ^ (x >> np.uint64(shift))) * factor % 2**32
    u = (x ^ (x >> np.uint64(16))).astype(np.float64) / 2**31 - 1
    if len(shape) > 1:
        u *= np.sqrt(3 / np.prod(shape[1:]))
    else:
        u = 1 + 0.3 * u if name.endswith("weight") else 0.2 * u
    return torch.from_numpy(u.reshape(shape).astype(np.float32))


def fill(net, prefix):
    shapes = {prefix + k: list(v.shape) for k, v in net.state_dict().items()}
    net.load_state_dict({k: made_up(prefix + k, v.shape) for k, v in net.state_dict().items()})
    return net.eval(), shapes


def encoder():
    net = efficientnet_lite0.load(HERE.parent / "weights" / "efficientnet_lite0.safetensors")
    coarse = torch.rand(2, 3, 8, 12)
    rgb = torch.nn.functional.interpolate(coarse, (64, 96), mode="bicubic") * 255 + 20 * torch.randn(2, 3, 64, 96)
    rgb = rgb.clamp(0, 255).round()
    return {"windows": rgb.to(torch.uint8), "embeddings": net(rgb)}


def nets():
    ae = torch.nn.ModuleDict({"encoder": Encoder((16, 24, 40), (1, 2, 1)), "decoder": Decoder((16, 24, 40), (1, 1, 2))})
    ae, shapes = fill(ae, "autoencoder.")
    rgb, z = torch.randint(0, 256, (2, 3, 32, 48), dtype=torch.uint8), 1.5 * torch.randn(2, 16, 4, 6)
    out = {"pictures": rgb, "encoded": ae["encoder"](rgb.float() / 255), "latents": z, "decoded": ae["decoder"](z)}
    net, more = fill(Denoiser((16, 32, 80)), "denoiser.")
    x, c = torch.randn(2, 16, 8, 12), torch.randn(2, CHANNELS, 8, 12)
    v = net(x, c, torch.tensor([0.3, 0.3]), torch.tensor([-1.0, -1.0]))
    return out | {"x": x, "condition": c, "velocity": v}, shapes | more


def shipped(pictures, x, condition):
    enc, dec = autoencoder.load()
    net = Denoiser().eval()
    net.load_state_dict({k: v.float() for k, v in load_file(HERE.parent / "weights" / "he_denoiser.safetensors").items()})
    z = enc(pictures.float() / 255)
    at = torch.tensor([0.3, 0.3]), torch.tensor([-1.0, -1.0])
    v = net(x, condition, *at)
    added = {k: v.float() for k, v in load_file(HERE.parent / "weights" / "he_refiner.safetensors").items()}
    for name, w in net.named_parameters():
        w += added[name] if w.ndim == 1 else (added[f"{name}.up"] @ added[f"{name}.down"]).view_as(w)
    return {"shipped_encoded": z, "shipped_decoded": dec(z), "shipped_velocity": v, "shipped_refined": net(x, condition, *at)}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        tensors, shapes = nets()
        tensors |= shipped(tensors["pictures"], tensors["x"], tensors["condition"])
        tensors = {k: v.contiguous() for k, v in (encoder() | tensors).items()}
    save_file(tensors, OUT, metadata={"t": "0.3", "log2_mpp": "-1.0", "shapes": json.dumps(shapes)})
    print({k: (list(v.shape), round(v.float().std().item(), 3)) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
