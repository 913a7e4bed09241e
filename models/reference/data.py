"""Training data: aligned RGB, latents and pseudo-class maps of every shared source, written once as .npy files.

    python data.py --shared ../../../shared --out /tmp/histoloom-data [--latents ours|teacher] [--variants 6] [--device cuda]
    for i in 0 1 2 3; do python data.py ... --part $i/4 & done; wait; python data.py ...    # the same by four processes

The denoiser is trained on the latents of our own shipped autoencoder, the autoencoder on those of its teacher. A variant is a training
image once more in another stain and at another scale (vary), every third also as from another scanner (scan), so that the denoiser learns
to take all of it from its condition.

Per item (one image at one mpp) the folder holds
    rgb.npy      [h, w, 3] u8, h and w multiples of 16
    labels.npy   [3, h/16, w/16] u8: pseudo-classes at a coarse and a fine k, calmed as the maps of users are, and the fine
                 ones as they were; 0 = glass
    texture.npy  [16, h/16, w/16] f16: embeddings of the shipped encoder, projected
    stain.npy    [3, h/16, w/16] f16: measures of stain.py
    z_O.npy      [16, h/8, w/8] f16 for orientation O in 0..7 (rot90 O%4 times, then flipped if O >= 4)
    meta.json    mpp, set, split
A variant V of an item stands beside it as NAME~V@MPP.
and beside the items energy.npy, the share of pixel energy that each latent channel carries.
The run is resumable: what is there is skipped. A trainer may start while later orientations are still being written.
"""
import argparse
import io
import json
import os
import glob
import zlib

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors.numpy import load_file
from scipy import ndimage

import autoencoder
import efficientnet_lite0
import stain
import teacher

Image.MAX_IMAGE_PIXELS = None
PROJECTION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights", "encoder_projection.safetensors")
HELD_OUT_SLIDES = {"bcss_1015"}


def sources(shared):
    """Yields (name, set, split, native mpp, [mpp to write], loader)."""
    import openslide

    def slide(path):
        def read():
            s = openslide.OpenSlide(path)
            return np.asarray(s.read_region((0, 0), 0, s.dimensions).convert("RGB"))
        return read

    def image(path):
        return lambda: np.asarray(Image.open(path).convert("RGB"))

    for name, mpp, want in [("CMU-1-Small-Region.svs", 0.5, [0.5, 1.0]), ("tcga-cr-7395-01a-01-ts1.svs", 0.5, [0.5, 1.0]),
                            ("bcss_1008_pyramid.tif", 0.25, [0.5, 0.25]), ("bcss_1015_pyramid.tif", 0.25, [0.5, 0.25])]:
        short = "_".join(name.split(".")[0].split("_")[:2])
        yield short, "slides", "test" if short in HELD_OUT_SLIDES else "train", mpp, want, slide(f"{shared}/slides/{name}")
    for tile_set, mpp, want in [("brecahad", 0.25, [0.5, 0.25]), ("nct_crc", 0.5, [0.5]), ("osteosarcoma_tcia", 1.0, [1.0])]:
        files = sorted(glob.glob(f"{shared}/tiles/{tile_set}/images/*"))
        for i, path in enumerate(files):
            split = "test" if i % 8 == 7 else "train"
            yield f"{tile_set}_{i:03d}", tile_set, split, mpp, want, image(path)


def at_mpp(rgb, native, mpp):
    factor = mpp / native
    if factor != 1:
        rgb = np.asarray(Image.fromarray(rgb).resize((round(rgb.shape[1] / factor), round(rgb.shape[0] / factor)), Image.LANCZOS))
    return np.ascontiguousarray(rgb[: rgb.shape[0] // 16 * 16, : rgb.shape[1] // 16 * 16])


def vary(rgb, rng):
    """The image in another stain and under another lamp: amounts, directions (stain.py) and white point drawn anew."""
    density = -np.log10(np.maximum(rgb.astype(np.float32), 1) / 255)
    amounts = density @ np.linalg.inv(stain.DIRECTIONS) * rng.uniform(0.65, 1.4, 3)
    directions = stain.DIRECTIONS + rng.normal(0, 0.04, (3, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    white = rng.uniform(0.93, 1) * rng.uniform(0.97, 1, 3)
    return np.clip(255 * white * 10 ** -(amounts @ directions), 0, 255).round().astype(np.uint8)


def scanned(variant):
    """Whether a variant is also as from another scanner."""
    return variant > 0 and variant % 3 == 0


def scan(rgb, rng):
    """The image as softer or sharper optics and a stronger compression would give it."""
    sharpness, image = rng.uniform(-1, 1), Image.fromarray(rgb)
    soft = image.filter(ImageFilter.GaussianBlur(-sharpness if sharpness < 0 else 1.0))
    if sharpness > 0:
        a, b = np.asarray(image, np.float32), np.asarray(soft, np.float32)
        soft = Image.fromarray(np.clip(a + sharpness * (a - b), 0, 255).round().astype(np.uint8))
    if rng.random() < 0.5:
        file = io.BytesIO()
        soft.save(file, "JPEG", quality=int(rng.integers(35, 96)))
        soft = Image.open(file)
    return np.asarray(soft.convert("RGB"))


def orient(a, o):
    """Orientation o of an array whose last two axes are rows and columns."""
    a = np.rot90(a, o % 4, axes=(-2, -1))
    return np.ascontiguousarray(np.flip(a, -1) if o >= 4 else a)


def dense(net, chw, stride, window=448, margin=32):
    """Runs net over overlapping windows of chw (f32) and stitches the cores: [c, h/stride, w/stride]."""
    _, h, w = chw.shape
    step, device = window - 2 * margin, next(net.parameters()).device
    out = None
    for y0 in range(0, h, step):
        for x0 in range(0, w, step):
            ya, xa, yb, xb = max(0, y0 - margin), max(0, x0 - margin), min(h, y0 + step + margin), min(w, x0 + step + margin)
            with torch.no_grad():
                f = net(torch.from_numpy(chw[None, :, ya:yb, xa:xb]).to(device))[0].float().cpu().numpy()
            if out is None:
                out = np.zeros((f.shape[0], h // stride, w // stride), np.float32)
            y1, x1 = min(h, y0 + step), min(w, x0 + step)
            out[:, y0 // stride : y1 // stride, x0 // stride : x1 // stride] = f[
                :, (y0 - ya) // stride : (y1 - ya) // stride, (x0 - xa) // stride : (x1 - xa) // stride]
    return out


def kmeans(x, k, seed, rounds=25):
    rng = np.random.default_rng(seed)
    c = x[[rng.integers(len(x))]]
    d = ((x - c[0]) ** 2).sum(1)
    while len(c) < k:
        c = np.vstack([c, x[rng.choice(len(x), p=d / d.sum())]])
        d = np.minimum(d, ((x - c[-1]) ** 2).sum(1))
    for _ in range(rounds):
        a = ((c**2).sum(1)[None] - 2 * x @ c.T).argmin(1)
        c = np.stack([x[a == j].mean(0) if (a == j).any() else c[j] for j in range(k)])
    return a


def glass_cells(rgb):
    """Cells of 16 px whose mean colour is bright and without saturation."""
    h, w, _ = rgb.shape
    m = rgb.reshape(h // 16, 16, w // 16, 16, 3).mean((1, 3))
    return (m.min(-1) > 200) & (m.max(-1) - m.min(-1) < 18)


def calm(cells, passes=2):
    """Majority of 5 x 5 cells, glass kept: borders become about as rare as in the maps that `histoloom cluster` makes."""
    for _ in range(passes):
        votes = []
        for k in range(1, int(cells.max()) + 1):
            sums = np.pad(cells == k, ((3, 2), (3, 2))).astype(np.int32).cumsum(0).cumsum(1)
            votes.append(sums[5:, 5:] - sums[:-5, 5:] - sums[5:, :-5] + sums[:-5, :-5])
        if not votes:
            return cells
        cells = np.where(cells > 0, 1 + np.argmax(votes, 0), 0).astype(np.uint8)
    return cells


def features(rgb, encoder):
    """The trunk's channels [112, h/16, w/16], mean of two orientations."""
    chw = np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32)
    turned = dense(encoder, np.ascontiguousarray(chw.transpose(0, 2, 1)), 16).transpose(0, 2, 1)
    return (dense(encoder, chw, 16) + turned) / 2


def texture(f, projection):
    return np.einsum("dc,chw->dhw", projection["projection"], f - projection["mean"][:, None, None])


def labels(f, glass):
    """Classes of smoothed textures [16, h/16, w/16], found as `histoloom cluster` finds them: neighbourhoods of 5 x 5 tissue cells."""
    tissue = ~glass
    out = np.zeros((3, *glass.shape), np.uint8)
    if tissue.sum() < 32:
        return out
    mean = lambda p: ndimage.uniform_filter(p.astype(np.float32), 5, mode="constant")
    share = np.maximum(mean(tissue), 1e-6)
    x = np.stack([mean(p * tissue) / share for p in f])[:, tissue].T
    big = tissue.sum() > 4000
    for i, k in enumerate((8, 16) if big else (3, 6)):
        out[2][tissue] = 1 + kmeans(x, k, i)
        out[i] = calm(out[2])
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--shared", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--latents", choices=["ours", "teacher"], default="ours")
    p.add_argument("--variants", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--part", help="I/N: only every N-th image, from the I-th on; a last call without it does what concerns all")
    a = p.parse_args()
    part, parts = map(int, (a.part or "0/1").split("/"))
    torch.set_num_threads(a.threads)
    encoder = efficientnet_lite0.load(f"{a.shared}/weights/efficientnet_lite0/efficientnet_lite0.safetensors").to(a.device)
    projection = load_file(PROJECTION)
    latent = teacher.Teacher(f"{a.shared}/weights", f"{a.out}/projection.npz") if a.latents == "teacher" else autoencoder.Shipped()
    latent = latent.to(a.device)
    todo, images = [], [(v, s) for v in range(a.variants + 1) for s in sources(a.shared)]
    for v, (name, tile_set, split, native, wanted, read) in images[part::parts]:
        for mpp in wanted if v == 0 or split == "train" else []:
            folder = f"{a.out}/{name}~{v}@{mpp}" if v else f"{a.out}/{name}@{mpp}"
            rng = np.random.default_rng([v, zlib.crc32(f"{name}@{mpp}".encode())])
            scale, turn = rng.uniform(0.8 if native < mpp else 1, 1.25), int(rng.integers(8))
            turns = [turn] if v else [0] if split == "test" else [0, 5, 2] if mpp == 0.5 else [0, 5]
            todo.append((v, folder, mpp, turns))
            if os.path.exists(f"{folder}/meta.json") and os.path.exists(f"{folder}/texture.npy"):
                continue
            os.makedirs(folder, exist_ok=True)
            true = mpp * scale if v else mpp
            rgb = at_mpp(vary(read(), rng) if v else read(), native, true)
            rgb = scan(rgb, rng) if scanned(v) else rgb
            np.save(f"{folder}/rgb.npy", rgb)
            f = texture(features(rgb, encoder), projection)
            np.save(f"{folder}/labels.npy", labels(f, glass_cells(rgb)))
            np.save(f"{folder}/stain.npy", stain.cells(rgb, true).astype(np.float16))
            np.save(f"{folder}/texture.npy", f.astype(np.float16))
            json.dump(dict(mpp=true, set=tile_set, split=split), open(f"{folder}/meta.json", "w"))
            print(folder, rgb.shape, flush=True)
    if parts == 1 and not os.path.exists(f"{a.out}/energy.npy"):
        np.save(f"{a.out}/energy.npy", latent.fit([f"{folder}/rgb.npy" for v, folder, _, _ in todo if v == 0]))
    for rank in range(3):
        for _, folder, _, turns in sorted(todo, key=lambda t: (t[0], t[2] != 0.5, t[1])):
            if rank >= len(turns) or os.path.exists(f"{folder}/z_{turns[rank]}.npy"):
                continue
            rgb = np.load(f"{folder}/rgb.npy").transpose(2, 0, 1)
            z = dense(latent, orient(rgb, turns[rank]).astype(np.float32), 8, 512, 64)
            tmp = f"{folder}/tmp.npy"
            np.save(tmp, z.astype(np.float16))
            os.replace(tmp, f"{folder}/z_{turns[rank]}.npy")
            print(folder, "orientation", turns[rank], flush=True)


if __name__ == "__main__":
    main()
