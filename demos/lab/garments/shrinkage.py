"""How a picture was shrunk, read from the rows above.

A digit of MNIST is a black and white one whose box of N pixels a side became 20, each pixel the mean of those it covers
(Yadav and Bottou 2019, arXiv:1905.10498). Its greys are therefore sums of the weights of a row times those of a column,
and where N is 40 there are only three. The weights depend on N and on how far the row is from the first one with ink,
the column from the leftmost; full ink, which rounding leaves at 250 to 255, tells the sum of both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Shrinkage"]

FAINTEST_INK, INK_LEVELS = 249, 6


class Shrinkage(nn.Module):
    """A code of each pixel's row and one of its column, from what the rows above say of N.

    A small network reads which values came before and the brightest of each row and column; a matrix for each distance
    from the first row with ink (and from the leftmost column) turns its answer into the codes.

    Args:
        side: of the picture, even.
        hidden: width of the network.
        code: numbers of a code.
    """

    def __init__(self, side: int, hidden: int, code: int, values: int = 256) -> None:
        super().__init__()
        self.values = values
        self.look, self.summary = nn.Linear(values + 4 * side, hidden), nn.Linear(hidden, code)
        self.rows = nn.Parameter(torch.randn(side, code, code) / code**0.5)
        self.columns = nn.Parameter(torch.randn(2 * side, code, code) / code**0.5)

    def forward(self, pictures: Tensor, often: Tensor) -> Tensor:
        """Codes `(B, side, side, 2 code)`, those of two rows from the rows above both.

        Args:
            pictures: values `(B, side, side)`.
            often: log(1 + count) of each value above each pair of rows, `(B, side / 2, values)`.
        """
        side = pictures.shape[1]
        at = torch.arange(side, device=pictures.device)
        first = at[::2, None]

        def aligned(brightest: Tensor, start: Tensor, end: Tensor | int) -> Tensor:
            place = start + at
            return brightest.gather(2, place.clamp(max=side - 1)).where(place < end, 0)

        def coded(weights: Tensor, distance: Tensor) -> Tensor:
            codes = torch.einsum("bpc,kcd->bpkd", summary, weights)
            return codes.gather(2, distance[..., None].expand(-1, -1, -1, codes.shape[3]))

        rows = pictures.amax(2)[:, None].expand(-1, side // 2, -1)
        top = torch.minimum((rows > 0).byte().argmax(2, keepdim=True), first)
        columns = F.pad(pictures.unflatten(1, (-1, 2)).amax(2).cummax(1).values, (0, 0, 1, -1))
        left = (columns > 0).byte().argmax(2, keepdim=True)
        ends = torch.cat([aligned(rows, top, first), aligned(columns, left, side)], 2).to(often)
        ends = torch.cat([ends / (self.values - 1), (ends - FAINTEST_INK).clamp(0) / INK_LEVELS], 2)
        summary = self.summary(F.gelu(self.look(torch.cat([often, ends], 2))))
        of_rows = coded(self.rows, at.view(1, -1, 2) - top).flatten(1, 2)
        of_columns = coded(self.columns, at - left + side).repeat_interleave(2, 1)
        return F.gelu(torch.cat([of_rows[:, :, None].expand_as(of_columns), of_columns], 3))
