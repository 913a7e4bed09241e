"""Writes the golden numbers of the published network: ../tests/data/htd_goldens.safetensors. Weights are made up as in goldens.py, at
small widths; names and shapes of the networks at full width are in the metadata. Beside them htd_tiny.ckpt, a checkpoint as lightning
writes it, whose tensors share storages so that it stays small, with what PyTorch makes of it.

    python goldens_htd.py
"""
import json
from collections import OrderedDict

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


def tiny():
    """A checkpoint of the narrowest networks in the published layout, and outputs of its averaged weights."""
    nets = {"unet": htd.Unet(6, 3, (32, 32, 32)), "vq": htd.Vq((32, 32, 32), codes=16), "rescaler": htd.Rescaler(8)}
    base = goldens.made_up("htd_tiny", (40000,)) * 0.5
    halves, upper = base.half(), base.bfloat16()

    def laid(shape, values, offset):
        stride = np.cumprod([1] + list(shape[:0:-1]))[::-1].tolist()
        return torch.as_strided(values, shape, stride, offset)

    state = OrderedDict()
    betas = torch.from_numpy(1 - htd.alphas_cumprod() / np.concatenate([[1], htd.alphas_cumprod()[:-1]]))
    state |= {"betas": betas.float(), "alphas_cumprod": torch.from_numpy(htd.alphas_cumprod()).float(), "logvar": torch.zeros(1000)}
    for i, (k, v) in enumerate(nets["unet"].state_dict().items()):
        state["model.diffusion_model." + k] = laid(v.shape, base, 0)
        state["model_ema.diffusion_model" + k.replace(".", "")] = laid(v.shape, base, 7 * i + 1)
    state |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7, dtype=torch.int)}
    for i, (k, v) in enumerate(nets["vq"].state_dict().items()):
        state["first_stage_model." + k] = laid(v.shape, halves, 11 * i)
    last = "first_stage_model.decoder.conv_in.weight"  # channels last, as a model trained so saves it
    state[last] = torch.as_strided(halves, (32, 3, 3, 3), (27, 1, 9, 3), 5)
    state["first_stage_model.loss.logvar"] = torch.zeros(1)
    state["cond_stage_model.channel_mapper.weight"] = laid((3, 8, 1, 1), upper, 100)
    state._metadata = OrderedDict({"": {"version": 1}})
    trainer = {"epoch": 3, "global_step": 2**40, "pytorch-lightning_version": "1.4.2", "state_dict": state, "callbacks": {},
               "optimizer_states": [{"state": {0: {"step": 5, "exp_avg": base[:9]}}, "param_groups": [{"lr": 4.8e-5, "betas": (0.9, 0.999),
                                     "amsgrad": False, "maximize": None, "params": [0]}]}], "lr_schedulers": []}
    torch.save(trainer, OUT.with_name("htd_tiny.ckpt"))
    nets["unet"].load_state_dict({k: state["model_ema.diffusion_model" + k.replace(".", "")] for k in nets["unet"].state_dict()})
    for net, prefix in (("vq", "first_stage_model."), ("rescaler", "cond_stage_model.")):
        nets[net].load_state_dict({k: state[prefix + k].float() for k in nets[net].state_dict()})
    x, c, z = torch.randn(1, 3, 8, 8), torch.randn(1, 8, 32, 32), torch.randn(1, 3, 8, 8)
    reduced = nets["rescaler"](c)
    eps = nets["unet"](torch.cat([x, reduced], 1), torch.tensor([500]))
    return {"tiny_x": x, "tiny_condition": c, "tiny_reduced": reduced, "tiny_eps": eps, "tiny_z": z, "tiny_decoded": nets["vq"].decode(z)}


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    tensors, shapes = {}, {}
    with torch.no_grad():
        for part in (unet, first_stage, condition):
            made, named = part()
            tensors |= made
            shapes |= named
        tensors |= tiny()
    t, alpha, before, sigma = htd.schedule(200, 1.0)
    schedule = {k: [float(v[0]), float(v[100]), float(v[199])] for k, v in {"t": t, "a": alpha, "before": before, "sigma": sigma}.items()}
    meta = {"shapes": json.dumps(shapes), "full_size": json.dumps(full_size()), "schedule": json.dumps(schedule)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT, metadata=meta)
    print(OUT.stat().st_size, schedule, {k: (list(v.shape), round(v.float().std().item(), 3)) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
