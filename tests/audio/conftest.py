"""What the audio tests share: one thread, tones, and tiny networks with random weights on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio.context import LocalContext
from gradio_client import Client
from torch import nn

from demos.audio.instruments.model import Instruments
from demos.audio.instruments.networks import InstrumentModel
from demos.audio.instruments.training import places
from demos.audio.music.model import Chorales
from demos.audio.music.networks import ChoraleModel
from demos.audio.tab import sound
from demos.audio.voice.model import Voices
from demos.audio.voice.networks import DigitFlow, Vocoder
from tests.conftest import serving


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only lose by more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tone(f0_hz: float, seconds: float, rate: int, partials: int = 6) -> np.ndarray:
    """A harmonic tone `(N,)` with peak below 0.5."""
    t = np.arange(int(seconds * rate)) / rate
    parts = [np.sin(2 * np.pi * f0_hz * k * t) / k for k in range(1, partials + 1) if k * f0_hz < 0.45 * rate]
    return (0.2 * np.sum(parts, 0)).astype(np.float32)


def measured_hz(samples: np.ndarray, rate: int, near_hz: float) -> float:
    """The fundamental by another way than the tracker's: the top of a parabola through the spectral peak."""
    n = 1 << (8 * len(samples)).bit_length()
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.blackman(len(samples)), n)) + 1e-12)
    low, high = (int(near_hz * f * n / rate) for f in (0.75, 1.3))
    k = low + int(spectrum[low:high].argmax())
    a, b, c = spectrum[k - 1 : k + 2]
    return float((k + 0.5 * (a - c) / (a - 2 * b + c)) * rate / n)


def randomise(network: nn.Module, *endings: str) -> None:
    """Give layers that begin at zero random weights, so that what flows through them matters."""
    for name, p in network.named_parameters():
        if name.endswith(endings):
            nn.init.normal_(p, std=0.1)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny instruments, music and voice."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    instruments = InstrumentModel(
        latent=4, width=32, encoder_width=16, dilations=(1, 3), partials=24, bands=9, room_seconds=0.02,
        instruments=("reed", "string", "brass"),
    )  # fmt: skip
    randomise(instruments, "out.weight")
    instruments.places.copy_(places(instruments.centres.detach()))
    instruments.save_pretrained(root / "instruments")
    torch.manual_seed(1)
    ChoraleModel(width=24, heads=2, encoder_depth=1, decoder_depth=2).save_pretrained(root / "music")
    torch.manual_seed(2)
    flow = DigitFlow(width=16, embedding=16, dilations=(1, 2), voices=("anna", "bert", "carl"))
    flow.length_mean.fill_(float(np.log(40)))
    flow.length_std.fill_(0.2)
    randomise(flow, "out.weight", "head.weight")
    flow.save_pretrained(root / "voice" / "flow")
    Vocoder(width=16, depth=1).save_pretrained(root / "voice" / "vocoder")
    return root


@pytest.fixture(scope="module")
def tiny(checkpoints: Path) -> Iterator[None]:
    """The tiny networks behind the tab, as if they were the shipped ones; handlers run without a page around them."""
    models = {
        "instruments": Instruments.load(checkpoints / "instruments", "cpu"),
        "chorales": Chorales.load(checkpoints / "music", "cpu"),
        "voices": Voices.load(checkpoints / "voice", "cpu"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sound, "CHECKPOINTS", checkpoints)
        for name, model in models.items():
            patch.setattr(sound, name, lambda model=model: model)
        token = LocalContext.blocks.set(None)
        yield
        LocalContext.blocks.reset(token)


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, tiny: None) -> Iterator[Client]:
    """A client of a page with the file's `TAB`."""
    with serving(request.module.TAB) as url:
        yield Client(url, verbose=False)
