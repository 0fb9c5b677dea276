"""The garments' energy: a smaller U-Net whose answer's squared length it is."""

from __future__ import annotations

from torch import Tensor

from demos.core.network import ModelMixin, register_to_config
from demos.families.energy import DenoisingEnergy
from demos.lab.garments.data import SIDE
from demos.lab.garments.layers import Given
from demos.lab.garments.unet import UNet

__all__ = ["GarmentEnergy"]


class GarmentEnergy(ModelMixin):
    """What `DenoisingEnergy` asks of a network; `given(label)` is the family's model."""

    @register_to_config
    def __init__(
        self, widths: tuple[int, int] = (32, 64), embedding: int = 96, least: float = 0.05, most: float = 3.0
    ) -> None:
        super().__init__()
        self.ends = least, most
        self.unet = UNet(widths, embedding)

    def given(self, label: Tensor) -> DenoisingEnergy:
        """The model for x `(B, 1, 28, 28)` in [-1, 1] of labels `(B,)`."""
        return DenoisingEnergy(Given(self.unet, label), (1, SIDE, SIDE), *self.ends)
