"""Writes the golden numbers of vision transformers: ../tests/data/vit_goldens.safetensors. Small models of timm (arXiv 2010.11929,
registers arXiv 2309.16588, SwiGLU arXiv 2002.05202) with weights made up as in goldens.py, and what timm makes of pictures whose grid
differs from the one the positions were made for. Tensors are named as in each family's files; the Rust tests build checkpoints of them.

Beside them vit_tiny.pth, a file as DINOv2's training writes it (a teacher's backbone and heads, in f16), whose tensors share a storage
so that it stays small, with what timm makes of it.

    pip install timm
    python vit.py
"""
import json
from collections import OrderedDict

import timm
import torch
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked, resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer, _convert_dinov2

import goldens

OUT = goldens.OUT.with_name("vit_goldens.safetensors")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # those of ImageNet
SMALL = {"embed_dim": 128, "depth": 2, "num_heads": 2, "num_classes": 0, "global_pool": "", "dynamic_img_size": True}
GATED = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}
# name, arguments, height and width of the pictures in px
VARIANTS = [
    ("plain", {"img_size": 64, "patch_size": 16}, (48, 80)),
    ("registers", {"img_size": 70, "patch_size": 14, "init_values": 0.1, "reg_tokens": 4, "no_embed_class": True}, (42, 98)),
    # a hidden width that is no multiple of 4 (342), positions for the registers too, no bias of queries, keys and values
    ("gated", {"img_size": 64, "patch_size": 16, "init_values": 0.1, "reg_tokens": 4, "mlp_ratio": 5.34375, "qkv_bias": False, **GATED},
     (80, 48)),
    ("bare", {"img_size": 48, "patch_size": 16, "class_token": False}, (64, 64)),
]
DINOV2 = {"img_size": 56, "patch_size": 14, "init_values": 0.1, "mlp_ratio": 4, **GATED}


def outputs(name, net, size):
    """Pictures and their patch tokens after the last normalisation, `[b, c, h, w]`."""
    rgb = torch.nn.functional.interpolate(torch.rand(2, 3, 6, 8), size, mode="bicubic") * 255 + 20 * torch.randn(2, 3, *size)
    rgb = rgb.clamp(0, 255).round()
    x = (rgb / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    patch = net.patch_embed.patch_size[0]
    tokens = net.forward_features(x)[:, net.num_prefix_tokens:]
    maps = tokens.transpose(1, 2).reshape(2, -1, size[0] // patch, size[1] // patch)
    return {f"{name}_pictures": rgb.to(torch.uint8), f"{name}_tokens": maps}


def plain_names():
    out, shapes = {}, {}
    for name, arguments, size in VARIANTS:
        net, named = goldens.fill(VisionTransformer(**SMALL, **arguments), f"vit_{name}.")
        out |= outputs(name, net, size)
        shapes |= named
    return out, shapes


def dinov2_names(registers):
    """A file as DINOv2 publishes it (blocks in chunks, w12 and w3, a mask token), read by timm's own conversion."""
    name = "dinov2_registers" if registers else "dinov2"
    extra = {"reg_tokens": registers, "no_embed_class": True} if registers else {}
    net = VisionTransformer(**SMALL, **DINOV2, **extra).eval()
    renamed = {"reg_token": "register_tokens", "fc1": "w12", "fc2": "w3"}
    shapes = {"mask_token": [1, 128]}
    for k, v in net.state_dict().items():
        for ours, theirs in renamed.items():
            k = k.replace(ours, theirs)
        shapes[k] = [1, v.shape[1] + 1, 128] if registers and k == "pos_embed" else list(v.shape)
    state = {k: goldens.made_up(f"vit_{name}.{k}", s) for k, s in shapes.items()}
    net.load_state_dict(_convert_dinov2(dict(state), net))
    return outputs(name, net, (42, 70)), {f"vit_{name}.{k}": s for k, s in shapes.items()}


def tiny():
    """The narrowest network, one head wide, in a file of torch.save."""
    net = VisionTransformer(**SMALL | {"embed_dim": 64, "num_heads": 1}, img_size=42, patch_size=14, init_values=0.1).eval()
    base = (goldens.made_up("vit_tiny", (40000,)) * 0.5).half()
    backbone = OrderedDict({"backbone.mask_token": base[:64].view(1, 64)})
    for i, (k, v) in enumerate(net.state_dict().items()):
        backbone["backbone." + k.replace("blocks.", "blocks.0.")] = base[37 * i:37 * i + v.numel()].view(v.shape)
    net.load_state_dict({k: backbone["backbone." + k.replace("blocks.", "blocks.0.")].float() for k in net.state_dict()})
    backbone["dino_head.last_layer.weight_v"] = base[:80].view(8, 10)
    torch.save({"teacher": backbone, "iteration": 1234}, OUT.with_name("vit_tiny.pth"))
    return outputs("tiny", net, (28, 56))


def positions():
    """Positions of a grid of 5 x 5 on other grids, `[1, c, h, w]`."""
    table = torch.randn(1, 25, 6)
    out = {"positions": table.transpose(1, 2).reshape(1, 6, 5, 5)}
    for h, w in ((5, 5), (2, 9), (7, 3), (16, 16), (1, 1)):
        moved = resample_abs_pos_embed(table, [h, w], num_prefix_tokens=0)
        out[f"positions_{h}_{w}"] = moved.transpose(1, 2).reshape(1, 6, h, w)
    return out


def main():
    torch.manual_seed(2)
    torch.set_num_threads(1)
    with torch.no_grad():
        tensors, shapes = plain_names()
        for registers in (0, 4):
            made, named = dinov2_names(registers)
            tensors |= made
            shapes |= named
        tensors |= tiny() | positions()
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT, metadata={"shapes": json.dumps(shapes), "timm": timm.__version__})
    print(OUT.stat().st_size, {k: (list(v.shape), round(v.float().std().item(), 3)) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
