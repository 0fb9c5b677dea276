"""What a program calls: typed functions for `gradio_client` and MCP."""

from typing import Any

import gradio as gr

from demos.core.media import png_bytes
from demos.lab.tab import augment, garments
from demos.ui.events import guard
from demos.ui.files import picture_file, served

__all__ = ["augment_classifier", "families", "family_encode", "family_log_prob", "family_sample"]


@guard
def family_sample(family: str, n: int = 16, label: str | None = None, seed: int = 0) -> list[gr.FileData]:
    """Draw pictures of garments from one of six families of generative models.

    Args:
        family: a name that families lists: autoregressive, vae, flow, gan, energy or score.
        n: how many, 1 to 64.
        label: one of T-shirt, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot; none for any.
        seed: the same seed and settings give the same pictures; -1 for a random one.

    Returns:
        PNG files of 28 × 28 pixels, bright on black.
    """
    pictures = garments.model().sample(family, n, label or None, seed)
    return [served(png_bytes(picture), f"{family}-{i + 1}.png") for i, picture in enumerate(pictures)]


@guard
def family_log_prob(family: str, image: gr.FileData | str) -> dict[str, Any]:
    """Say how likely a picture is under one family.

    Args:
        family: a name that families lists; a GAN has no density.
        image: a picture of a garment on an even ground (file, or data: URI); it is brought to 28 × 28.

    Returns:
        bits_per_dim, -log2 p(x) / 784; kind, one of exact, lower bound, estimate and unnormalised; percentile, the
        share of test garments that are more likely, 0 to 100.
    """
    found = garments.model().log_prob(family, picture_file(image))
    return {
        "bits_per_dim": round(found.bits_per_dim, 4),
        "kind": found.kind,
        "percentile": round(found.percentile, 2),
    }


@guard
def family_encode(family: str, image: gr.FileData | str) -> list[float]:
    """Encode a picture into the latent of one family.

    Args:
        family: vae, flow or score; the others have no latent of a picture.
        image: a picture of a garment on an even ground (file, or data: URI); it is brought to 28 × 28.

    Returns:
        The latent's numbers.
    """
    return [round(float(value), 5) for value in garments.model().encode(family, picture_file(image))]


@guard
def families() -> dict[str, Any]:
    """What each family can do, read from its code: generation, density, representation, completion.

    Returns:
        For every family its title, its parameters, the kind of its density, and for each question whether it is able
        and a note: how, or why not.
    """
    return garments.model().families()


@guard
def augment_classifier(family: str, n: int = 50, seed: int = 0) -> dict[str, Any]:
    """Train a small classifier on n pictures of garments, and one on the same and on generated ones besides.

    Args:
        family: which family generates: vae, gan or flow.
        n: how many pictures that are called real, 10 to 200.
        seed: the same seed gives the same result.

    Returns:
        real, whether real pictures are at hand on the server or samples of the score-based model stand in for them;
        generated and tested, numbers of pictures; steps, when both were tested; alone and joined, the shares of test
        pictures that the first and the second classifier named right then.
    """
    trials = augment.experiment()
    trial = trials.run(n, family, seed)
    return {
        "real": trials.real,
        "generated": len(trial.generated.y),
        "tested": trial.tested,
        "steps": trial.steps,
        "alone": trial.alone,
        "joined": trial.joined,
    }
