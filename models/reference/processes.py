"""One process or several under torchrun."""
import os

import torch


def join(device):
    """(rank, number of processes); joins the others where torchrun started some, each with a GPU of its own on CUDA."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        if device == "cuda":
            torch.cuda.set_device(rank % torch.cuda.device_count())
    return rank, world
