"""What a card says of predicted attributes: from what, how well, and what they are not."""

from __future__ import annotations

from vae_batch.probes import Probes, Score

_SECTION = """

## Predicted attributes

Nobody has looked at these images and labelled them. The columns `predicted_…` are what linear probes (ridge regression)
say of the latent that an image is decoded from, not of the picture. The probes come from an encoded, labelled data set
of {rows:,} images and the same model; for latents unlike those they are extrapolations. A number is the probe's value.
Of an attribute of two values it is the probability of the one named, by a sigmoid on the probe's value (Platt scaling,
fitted to the images held out).

The scores are of images held out, chosen by a hash of their ids: from the posterior's mean, and from one draw of it.

| attribute | | score | from the mean | from a draw | fitted on | held out |
|---|---|---|---|---|---|---|
{table}

R² is the share of the variance that is explained, AUC the chance that of two images with different values the right one
scores higher (0.5: none of it is known).{left_out}"""


def predicted_section(probes: Probes) -> str:
    """Give the section of the card."""
    left = ", ".join(f"{_cell(name)} ({why})" for name, why in probes.left_out.items())
    return _SECTION.format(
        rows=probes.facts["rows"],
        table="\n".join(map(_row, probes.scores)),
        left_out=f"\n\nLabels without a probe: {left}." if left else "",
    )


def _row(score: Score) -> str:
    what = "number" if score.values is None else f"probability of {score.values[1]:g}, not {score.values[0]:g}"
    figures = f"{score.metric} | {score.at_mean:.3f} | {score.at_draw:.3f} | {score.fitted_on:,} | {score.held_out:,}"
    return f"| {_cell(score.attribute)} | {what} | {figures} |"


def _cell(name: str) -> str:
    """A name that breaks no table."""
    return f"`{name}`".replace("|", "\\|").replace("\n", " ")
