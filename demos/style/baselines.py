"""What the Style tab's engines are compared with: a direct matching of patch distributions and two known networks.

The networks have the published shapes and random weights; they serve to compare speed, not pictures.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.style.exact import resize

__all__ = ["AdaIN", "Johnson", "gpdm"]


def gpdm(
    content: Tensor,
    style: Tensor,
    generator: torch.Generator,
    steps: int = 300,
    projections: int = 64,
    side: int = 7,
    lr: float = 0.01,
    levels: int = 3,
) -> Tensor:
    """Direct patch matching with the published settings (Elnekave and Weiss 2022, arXiv:2203.00256): `(1, 3, H, W)`.

    A pyramid of halves; at every level Adam moves the pixels so that along new random directions at every step all
    sorted projections of patches agree, by L1; the first level begins with the content.
    """
    x = content
    for i in range(levels - 1, -1, -1):
        height, width = (round(n / 2**i) for n in content.shape[2:])
        goal = resize(style, [round(n / 2**i) for n in style.shape[2:]])
        x = resize(x, (height, width)).detach().requires_grad_(True)
        adam = torch.optim.Adam([x], lr=lr)
        for _ in range(steps):
            filters = torch.randn(projections, 3, side, side, generator=generator)
            filters = filters / filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            made, wanted = F.conv2d(x, filters)[0].flatten(1), F.conv2d(goal, filters)[0].flatten(1)
            wanted = F.interpolate(wanted.sort(1)[0][None], made.shape[1], mode="linear")[0]
            loss = (made.sort(1)[0] - wanted).abs().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    return x.detach().clamp(-1, 1)


class Johnson(nn.Module):
    """The network of Johnson et al. 2016 (arXiv:1603.08155), 1.7M parameters: `(B, 3, H, W)` to the same."""

    def __init__(self) -> None:
        super().__init__()

        def conv(a: int, b: int, side: int, stride: int = 1) -> nn.Sequential:
            pad = nn.ReflectionPad2d(side // 2)
            return nn.Sequential(pad, nn.Conv2d(a, b, side, stride), nn.InstanceNorm2d(b, affine=True))

        self.down = nn.Sequential(conv(3, 32, 9), nn.ReLU(), conv(32, 64, 3, 2), nn.ReLU(), conv(64, 128, 3, 2))
        self.blocks = nn.ModuleList([nn.Sequential(conv(128, 128, 3), nn.ReLU(), conv(128, 128, 3)) for _ in range(5)])
        self.up1, self.up2, self.last = conv(128, 64, 3), conv(64, 32, 3), conv(32, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        """A picture of the same size."""
        h = F.relu(self.down(x))
        for block in self.blocks:
            h = h + block(h)
        for up in (self.up1, self.up2):
            h = F.relu(up(F.interpolate(h, scale_factor=2.0, mode="nearest")))
        return torch.tanh(self.last(h))


class AdaIN(nn.Module):
    """VGG-19 up to relu4_1 and the decoder of Huang and Belongie 2017 (arXiv:1703.06868), 7.0M parameters."""

    def __init__(self) -> None:
        super().__init__()
        blocks = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256, 256), (256, 512))
        encoder, decoder = [], []
        for i, widths in enumerate(blocks):
            for a, b in pairwise(widths):
                encoder += [nn.ReflectionPad2d(1), nn.Conv2d(a, b, 3), nn.ReLU()]
            encoder += [nn.MaxPool2d(2, ceil_mode=True)] if i < 3 else []
        for i, widths in enumerate(reversed(blocks)):
            for b, a in pairwise(reversed(widths)):
                decoder += [nn.ReflectionPad2d(1), nn.Conv2d(b, a, 3), nn.ReLU()]
            decoder += [nn.Upsample(scale_factor=2.0)] if i < 3 else []
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder[:-1])

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """`content` `(B, 3, H, W)` with the features' moments of `style`."""
        c, s = self.encoder(content), self.encoder(style)
        spread = s.std((2, 3), keepdim=True)
        return self.decoder(F.instance_norm(c) * spread + s.mean((2, 3), keepdim=True))
