"""What the contract asks for, one function each: it gives a sentence on what holds, or raises AssertionError."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vae_batch.errors import SpecError
from vae_batch.images import Transform
from vae_batch.models import DiagonalGaussian
from vae_batch.testing.case import Case, require

FEW = 3
TOLERANCE = 1e-5
"""Allowed |difference| over max(1, |value|), fp32, between the places of one image in batches of one shape."""
FEW_TOLERANCE = 1e-3
"""The same between batches of different shapes, where other kernels may be used."""
PIXEL_TOLERANCE = 1e-6


def posteriors_are_right(case: Case) -> str:
    """Shape, type and values of what `encode` gives, and whether the card says the same."""
    card, posterior = case.model.card, case.posterior
    shape = (len(case.x), *card.latent_shape)
    given = tuple(posterior.mean.shape)
    require(given == shape, f"encode() gave a mean of shape {given}; by the card it is {shape}")
    agrees = (posterior.logvar is None) == card.deterministic
    require(agrees, f"the card says deterministic={card.deterministic}; what encode() gives says otherwise")
    for name in ("mean", "logvar", "variance"):
        values = getattr(posterior, name)
        if values is not None:
            require(
                values.shape == shape, f"encode() gave a {name} of shape {tuple(values.shape)}; it has to be {shape}"
            )
            require(values.dtype == torch.float32, f"encode() gave a {name} of {values.dtype}; it has to be float32")
            bad = [slot for slot, row in enumerate(values) if not row.isfinite().all()]
            kinds = sorted({("black", "white", "noise")[slot] if slot < 3 else "smooth" for slot in bad})
            what = f"the {name} of {len(bad)} of {len(case.x)} images ({', '.join(kinds)})"
            require(not bad, f"{what} is not finite; a clamp of the log-variance may help")
    _note_what_is_odd(case)
    return f"posteriors of shape {shape}, float32, finite for black, white, noise and smooth images"


def _note_what_is_odd(case: Case) -> None:
    mean, logvar = case.posterior.mean, case.posterior.logvar
    if logvar is not None and (logvar > 0).all():
        case.notes.append(f"every log-variance is above 0 (from {float(logvar.min()):.3g}): is it the variance?")
    if len(mean) > 1 and _distance(mean[:1], mean[1:2]) <= TOLERANCE:
        case.notes.append("a black and a white image have the same mean: an untrained or collapsed model?")


def images_are_prepared(case: Case) -> str:
    """The card says how images are cut and resized, or nothing."""
    if case.model.card.transform is None:
        return "images are prepared as the job says: the card has no transform"
    try:
        return f"images are prepared by {Transform.from_dict(case.model.card.transform)}"
    except SpecError as error:
        raise AssertionError(f"the card's transform: {error}") from error


def images_are_left_alone(case: Case) -> str:
    """`encode` changes nothing in place."""
    x = case.x.clone()
    case.model.encode(x)
    require(torch.equal(x, case.x), "encode() changes its images in place: work on a copy")
    return "encode() leaves its images as they are"


def twice_is_the_same(case: Case) -> str:
    """Nothing is drawn, and no state changes."""
    advice = "give the mean, not a draw; no dropout, no state that changes; prepare() has to call eval()"
    again = case.model.encode(case.x.clone())
    require(_equal(case.posterior, again), f"the same images, encoded twice, have other posteriors: {advice}")
    if case.model.card.decodes:
        first, second = (case.model.decode(case.posterior.mean.clone()) for _ in range(2))
        require(torch.equal(first, second), f"the same latents, decoded twice, give other images: {advice}")
    return "the same batch twice gives the same bits"


def rows_stand_alone(case: Case) -> str:
    """At one shape of batch, an image's posterior is a function of the image."""
    order, half = torch.randperm(len(case.x)), len(case.x) // 2
    advice = "batch normalisation in training mode, a statistic over the batch, or noise by position would do this"
    moved = case.model.encode(case.x[order])
    worst = _worst(case.posterior, moved, order, slice(None))
    require(worst <= TOLERANCE, f"an image's posterior depends on its place in the batch (by {worst:.2g}): {advice}")
    among_others = case.model.encode(torch.cat([case.x[:half], 1 - case.x[half:]]))
    near = _worst(case.posterior, among_others, slice(half), slice(half))
    require(near <= TOLERANCE, f"an image's posterior depends on the others in its batch (by {near:.2g}): {advice}")
    exact = "to the bit" if max(worst, near) == 0 else f"up to rounding ({max(worst, near):.1g})"
    return f"a row depends neither on its place in the batch nor on the others, {exact}"


def any_batch_will_do(case: Case) -> str:
    """The model takes other numbers of images, unless its card says that it does not."""
    few = case.model.card.nearest_batch(FEW)
    if few >= len(case.x):
        return f"batches of {len(case.x)} images"
    part = case.model.encode(case.x[:few].clone())
    require(len(part.mean) == few, f"encode() of {few} images gave {len(part.mean)} rows")
    worst = _worst(case.posterior, part, slice(few), slice(None))
    limit = f"by {worst:.2g}, allowed {FEW_TOLERANCE:g}"
    require(worst <= FEW_TOLERANCE, f"{few} images have other posteriors than among {len(case.x)} ({limit})")
    return f"{few} images encode as they do among {len(case.x)}"


def weights_are_registered(case: Case) -> str:
    """No tensor of a module escapes its state dict."""
    network = getattr(case.model, "_network", case.model)
    modules = network.named_modules() if isinstance(network, nn.Module) else []
    plain = [f"{p}.{n}".lstrip(".") for p, m in modules for n, v in vars(m).items() if isinstance(v, Tensor)]
    advice = (
        "it is neither saved nor in the digest, and does not move to a GPU: make it a parameter, or register_buffer"
    )
    require(not plain, f"a tensor is a plain attribute of a module, {', '.join(plain)}: {advice}")
    return "every tensor is a parameter or a buffer"


def nothing_is_trained(case: Case) -> str:
    """`prepare` turned gradients off."""
    with torch.enable_grad():
        mean = case.model.encode(case.x.clone()).mean
    require(not mean.requires_grad, "posteriors carry gradients: prepare() has to call requires_grad_(False)")
    return "no gradients after prepare()"


def images_are_right(case: Case) -> str:
    """Shape, type and range of what `decode` gives."""
    if not case.model.card.decodes:
        return "no decoder: nothing to decode"
    for what, z in [
        ("the means", case.posterior.mean),
        ("draws from the prior", torch.randn_like(case.posterior.mean)),
    ]:
        kept = z.clone()
        image = case.model.decode(z)
        require(torch.equal(z, kept), "decode() changes z in place: work on a copy")
        shape, given = tuple(case.x.shape), tuple(image.shape)
        require(given == shape, f"decode() gave images of shape {given}; they have to be {shape}")
        require(image.dtype == torch.float32, f"decode() gave {image.dtype}; it has to be float32")
        require(image.isfinite().all(), f"decode() of {what} gave values that are not finite")
        low, high = float(image.min()), float(image.max())
        require(
            low >= -PIXEL_TOLERANCE and high <= 1 + PIXEL_TOLERANCE,
            f"decode() of {what} gave pixels from {low:.3g} to {high:.3g}; they have to be in [0, 1]: for a network "
            "that works in [-1, 1] give (y + 1) / 2, and feed it 2·x - 1; for one without a last non-linearity, clamp",
        )
    return f"decoded images of shape {tuple(case.x.shape)}, float32, in [0, 1]"


def it_loads_again(case: Case) -> str:
    """Loaded once more, the model is the same."""
    torch.manual_seed(1)
    again = case.again()
    advice = "its weights depend on more than its files and arguments, such as a generator of its own"
    require(again.card == case.model.card, f"loaded once more, the model has another card or digest: {advice}")
    posterior = again.prepare("cpu", "fp32").encode(case.x.clone())
    require(_equal(case.posterior, posterior), f"loaded once more, the model gives other posteriors: {advice}")
    return "loaded once more, it is the same model and gives the same bits"


def reduced_precision_comes_back(case: Case) -> str:
    """Out of bf16 come finite float32 values."""
    posterior = case.again().prepare("cpu", "bf16").encode(case.x.clone())
    for values in _parts(posterior):
        require(values.dtype == torch.float32, f"in bf16 encode() gave {values.dtype}; it has to give float32")
        require(values.isfinite().all(), "in bf16 encode() gave values that are not finite")
    worst = _worst(case.posterior, posterior, slice(None), slice(None))
    return f"float32 and finite out of bf16, within {worst:.1g} of fp32"


CHECKS: tuple[Callable[[Case], str], ...] = (
    posteriors_are_right,
    images_are_prepared,
    images_are_left_alone,
    twice_is_the_same,
    rows_stand_alone,
    any_batch_will_do,
    weights_are_registered,
    nothing_is_trained,
    images_are_right,
    it_loads_again,
    reduced_precision_comes_back,
)


def _parts(posterior: DiagonalGaussian) -> list[Tensor]:
    return [part for part in (posterior.mean, posterior.logvar) if part is not None]


def _equal(one: DiagonalGaussian, other: DiagonalGaussian) -> bool:
    return all(torch.equal(a, b) for a, b in zip(_parts(one), _parts(other), strict=True))


def _worst(one: DiagonalGaussian, other: DiagonalGaussian, rows: slice | Tensor, others: slice) -> float:
    """Greatest distance between some rows of two posteriors."""
    pairs = zip(_parts(one), _parts(other), strict=True)
    return max(_distance(a[rows], b[others]) for a, b in pairs)


def _distance(one: Tensor, other: Tensor) -> float:
    """Greatest |difference| over max(1, |value|); 0 for nothing."""
    difference = (one - other).abs() / one.abs().clamp_min(1.0)
    return float(difference.max()) if difference.numel() else 0.0
