"""Writes the golden numbers of the published network: ../tests/data/htd_goldens.safetensors. Weights are made up as in goldens.py, at
small widths; names and shapes of the networks at full width are in the metadata.

    python goldens_htd.py
"""
import json

import numpy as np
import torch
from safetensors.torch import save_file

import goldens
import htd

OUT = goldens.OUT.with_name("htd_goldens.safetensors")


def full_size():
    """Shapes of the published networks; nothing is allocated."""
    with torch.device("meta"):
        nets = {"unet": htd.Unet(), "vq": htd.Vq()}
    shapes = {name: {k: list(v.shape) for k, v in net.state_dict().items()} for name, net in nets.items()}
    counts = {name: sum(int(np.prod(s)) for s in keys.values()) for name, keys in shapes.items()}
    print(counts, {name: len(keys) for name, keys in shapes.items()})
    return shapes


def unet():
    net, shapes = goldens.fill(htd.Unet(6, 3, (32, 64, 128)), "htd_unet.")
    out, x = {}, torch.randn(2, 32, 8, 12)
    e = torch.randn(1, 128)
    out |= {"res_x": x, "res_e": e[:, :, None, None], "res_y": net.input_blocks[4][0](x, e)}  # 32 -> 64 channels
    out |= {"down_y": net.input_blocks[3][0](x)}
    x = torch.randn(2, 64, 4, 6)
    out |= {"up_x": x, "up_y": net.output_blocks[5][1](x)}
    x = torch.randn(2, 128, 4, 6)
    out |= {"attention_x": x, "attention_y": net.middle_block[1](x)}
    x = torch.randn(2, 6, 16, 24)
    out |= {"unet_x": x, "unet_y": net(x, torch.tensor([701, 701]))}
    c, start, noises = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16), [torch.randn(2, 3, 16, 16) for _ in range(5)]
    end = htd.ddim(lambda x, t: net(torch.cat([x, c], 1), t), start, noises, 1.0)
    out |= {"ddim_condition": c, "ddim_start": start, "ddim_noise": torch.cat(noises), "ddim_end": end}
    return out, shapes


def first_stage():
    net, shapes = goldens.fill(htd.Vq((32, 64, 96), codes=64), "htd_vq.")
    rgb = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8)
    x = torch.randn(2, 32, 8, 10)
    out = {"vq_block_x": x, "vq_block_y": net.encoder.down[1]["block"][0](x), "vq_down_y": net.encoder.down[0]["downsample"](x)}
    x = torch.randn(2, 96, 5, 6)
    out |= {"vq_attention_x": x, "vq_attention_y": net.encoder.mid["attn_1"](x)}
    z = 0.7 * torch.randn(2, 3, 8, 10)
    encoded = net.encode(rgb.float() / 127.5 - 1)
    out |= {"vq_pictures": rgb, "vq_encoded": encoded, "vq_z": z, "vq_codes": net.quantise(z), "vq_decoded": net.decode(z)}
    return out, shapes


def condition():
    rng = np.random.default_rng(0)
    r, c = np.mgrid[:32, :32]
    ring = (r - 16) ** 2 + (c - 16) ** 2
    labels = np.where(ring < 20, 2, np.where(ring < 180, 1, 0)) * (c > 3)  # a disc in a ring cut off on the left
    crops = [rng.integers(0, 256, s + (3,), dtype=np.uint8) for s in ((14, 9), (40, 24))]
    nine, eight = (torch.from_numpy(htd.condition(labels, crops, b))[None] for b in (True, False))
    net, shapes = goldens.fill(htd.Rescaler(9), "htd_rescaler.")
    as_planes = {f"crop_{i}": torch.from_numpy(crop.transpose(2, 0, 1).copy())[None] for i, crop in enumerate(crops)}
    return {"labels": torch.from_numpy(labels.astype(np.uint8))[None, None], **as_planes, "condition_9": nine, "condition_8": eight,
            "reduced": net(nine)}, shapes


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    tensors, shapes = {}, {}
    with torch.no_grad():
        for part in (unet, first_stage, condition):
            made, named = part()
            tensors |= made
            shapes |= named
    t, alpha, before, sigma = htd.schedule(200, 1.0)
    schedule = {k: [float(v[0]), float(v[100]), float(v[199])] for k, v in {"t": t, "a": alpha, "before": before, "sigma": sigma}.items()}
    meta = {"shapes": json.dumps(shapes), "full_size": json.dumps(full_size()), "schedule": json.dumps(schedule)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT, metadata=meta)
    print(OUT.stat().st_size, schedule, {k: (list(v.shape), round(v.float().std().item(), 3)) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
