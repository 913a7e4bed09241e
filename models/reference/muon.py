"""Muon (K. Jordan et al. 2024): momentum whose update of every hidden matrix is replaced by the nearest orthogonal one.

Updates are scaled by 0.2 sqrt(max(rows, columns)) (arXiv 2502.16982, section 2.2), so one rate serves Muon and the AdamW that takes the rest.
"""
import torch


def orthogonal(g):
    """Five Newton-Schulz iterations with the published coefficients: singular values near 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x.T if flip else x).float()


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions: convolutions count as [out, in * kernel] matrices."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                if not s:
                    s["m"] = torch.zeros_like(p)
                s["m"].lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(s["m"], group["momentum"]).flatten(1)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(orthogonal(g).view(p.shape), alpha=-group["lr"] * 0.2 * max(g.shape) ** 0.5)
