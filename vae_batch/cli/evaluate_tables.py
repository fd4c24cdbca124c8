"""What `evaluate` found, as tables for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vae_batch.analysis.attributes import Shift, Spread
from vae_batch.analysis.copying import Copying
from vae_batch.analysis.evaluation import Evaluation

READ = {"R²": 0.3, "AUC": 0.75}
"""Scores from which on an attribute is worth showing."""

PAIRS = 3
"""Closest pairs that are shown; the JSON has more."""

WIDTH = 110


def show(found: Evaluation) -> None:
    """Print it."""
    console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)
    for line in _sets(found):
        console.print(line)
    console.print(_figures(found))
    if found.copying and found.train:
        console.print(_distances(found.copying, found.train["rows"]))
        for line in _verdict(found.copying):
            console.print(line)
    if found.attributes:
        console.print("Attributes, as a linear map reads them from the latent:")
        console.print(_attributes([s for s in found.attributes if s.score >= READ[s.metric]]))
        unread = [s.attribute for s in found.attributes if s.score < READ[s.metric]]
        if unread:
            console.print(f"Not read from the latent by a linear map: {', '.join(unread)}.")
    for note in found.notes:
        console.print(f"Note: {note}")


def _sets(found: Evaluation) -> Iterator[str]:
    for name, one in (("generated", found.generated), ("real", found.real), ("training", found.train)):
        if one is not None:
            yield f"{name:10} {one['location']}: {', '.join(_facts(one))}"
    model = found.model
    shape = "×".join(map(str, model["latent_shape"]))
    yield f"{'model':10} {model['family']} {model['digest'][:16]}…, latents of {shape}"


def _facts(one: dict[str, Any]) -> Iterator[str]:
    used = f", {one['used']:,} of them used" if one["used"] < one["rows"] else ""
    yield f"N = {one['rows']:,}{used}"
    yield f"{one['image_size']}×{one['image_size']}"
    if "codec" in one:
        quality = f" of quality {one['quality'] or 95}" if one["codec"] != "png" else ""
        yield f"{one['codec']}{quality}, sampler {one['sampler']}"
    else:
        yield f"crop {one['crop']}, {one['fit']}"
    if one["where"]:
        yield f"where {one['where']}"


def _figures(found: Evaluation) -> Table:
    table = _table("", "", f"k = {found.k}, at most {found.limit:,} of each, seed {found.seed}")
    frechet = found.latent_frechet
    beside = "" if frechet.chance is None else f"; about {frechet.chance:.2f} by chance with so many images"
    beside += "" if frechet.train is None else f"; training images have {frechet.train:.2f}"
    table.add_row("latent Fréchet", f"{frechet.generated:.2f}", f"0 is best{beside}")
    table.add_row("precision", f"{found.prdc.precision:.3f}", "generated images that lie among real ones")
    table.add_row("density", f"{found.prdc.density:.3f}", "how deep among them; 1 where both are alike")
    table.add_row("recall", f"{found.prdc.recall:.3f}", "real images that lie among generated ones")
    table.add_row("coverage", f"{found.prdc.coverage:.3f}", "real images with a generated one near by")
    return table


def _distances(copying: Copying, rows: int) -> Table:
    table = _table(f"distance to the nearest of {rows:,} training images", *copying.generated)
    table.add_row("generated", *(f"{value:.3f}" for value in copying.generated.values()))
    table.add_row("held out (real)", *(f"{value:.3f}" for value in copying.held_out.values()))
    return table


def _verdict(copying: Copying) -> Iterator[str]:
    yield (
        f"{copying.below:.1%} of the generated come nearer to a training image than 99 % of the held-out do (1 % where "
        "alike)."
    )
    yield f"{copying.train_first:.1%} are nearer to a training image than to a held-out one (50 % where alike)."
    yield f"Mann–Whitney z {copying.z:+.1f}: below -5 they are copies (Meehan et al. 2020), above 0 further away."
    yield "Distances are between latent means, not pixels. Look at the closest:"
    for pair in copying.closest[:PAIRS]:
        yield f"  {pair.distance:.3f}  {pair.generated}  {pair.train}"


def _attributes(shifts: list[Shift]) -> Table:
    table = _table("attribute", "read at", "real (5 % to 95 %)", "generated (5 % to 95 %)", "Wasserstein-1")
    for s in shifts:
        table.add_row(
            s.attribute, f"{s.metric} {s.score:.2f}", _spread(s.real), _spread(s.generated), f"{s.distance:.2f} σ"
        )
    return table


def _spread(spread: Spread) -> str:
    low, high = spread.quantiles["5%"], spread.quantiles["95%"]
    return f"{spread.mean:.2f} ± {spread.std:.2f} ({low:.2f} to {high:.2f})"


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if " of each" in name else "right")
    return table
