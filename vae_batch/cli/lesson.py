"""`vae-batch lesson`: what the two terms of the ELBO are for, and what a latent of six dimensions says of a face."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_batch.cli.shows import fresh_folder

if TYPE_CHECKING:
    from vae_batch.cli.console import ConsoleReport
    from vae_batch.cli.lesson_runs import Run

FACES, SHARD_SIZE = 3000, 500


@click.command()
@click.option("--out", default="vae_batch_lesson", show_default=True, help="A new or empty folder.")
def command(out: str) -> None:
    """See what the terms of the ELBO are for: three small trainings side by side, and a latent of six dimensions.

    Faces are drawn of which six attributes are known, and nothing else varies. Two dimensions are trained on them
    with only the reconstruction term, with only the KL term, and with both; then six dimensions with both. All faces
    are encoded to Parquet, and drawn from there. Needs the extra `report`.

    \b
    Example:
      vae-batch lesson --out lesson/
    """
    from vae_batch.analysis.figures import check_extra
    from vae_batch.cli.console import ConsoleReport
    from vae_batch.cli.lesson_runs import runs

    check_extra("vae-batch lesson")
    start = time.monotonic()
    with fresh_folder(out, "lesson") as folder:
        _draw_faces(folder)
        *three, six = runs(folder)
        with ConsoleReport() as report:
            for number, run in enumerate([*three, six], 2):
                _train_and_encode(number, run, report)
    _three(folder, three)
    _six(folder, six)
    click.secho(f"\nDone in {time.monotonic() - start:.0f} s.", bold=True)


def _step(number: int, text: str) -> None:
    click.secho(f"\n{number}. {text}", bold=True)


def _draw_faces(folder: Path) -> None:
    from vae_batch.faces import write_faces

    _step(1, f"Drawing {FACES:,} faces: six known attributes, and nothing else varies")
    write_faces(str(folder / "faces"), FACES, shard_size=SHARD_SIZE, still=True)


def _train_and_encode(number: int, run: Run, report: ConsoleReport) -> None:
    from vae_batch.cli.train import run_train
    from vae_batch.cluster.encode import encode
    from vae_batch.specs import EncodeSpec

    _step(number, f"Training {run.latent_dim} dimensions with {run.title}, then encoding every face")
    run_train(run.spec, hint=False)
    latents = str(run.folder / run.name / "latents")
    encode(EncodeSpec(source=run.spec.source, model=run.spec.out, out=latents, replicas=2, diagnostics=True), report)


def _three(folder: Path, three: list[Run]) -> None:
    from vae_batch.cli.lesson_pictures import DRAWS, draw_three, prior_covered, prior_psnr

    _step(6, "Three latent spaces of two dimensions, side by side")
    draw_three(folder / "planes.png", three)
    click.echo(f"   {'':32}{'KL, nats':>10}{'sigma of q':>12}{'PSNR, dB':>10}{'covered':>9}{'prior, dB':>11}")
    for run in three:
        sigma = (run.latents.array("variance") ** 0.5).mean()
        kl, psnr = (run.latents.array(name).mean() for name in ("kl", "psnr"))
        click.echo(
            f"   {run.title:32}{kl:10.2f}{sigma:12.4f}{psnr:10.1f}{prior_covered(run):9.0%}{prior_psnr(run):11.1f}"
        )
    click.echo(THREE.format(picture=folder / "planes.png", draws=DRAWS))


THREE = """
   KL: what a code says of its face, at most. sigma of q: how far a face's code is spread. PSNR: of the faces, decoded
   from their means. covered: of {draws} draws of the prior, those within two standard deviations of some face's
   posterior. prior: images decoded from these draws, each against the drawn face that is most like it.

   {picture}
   Above, each face's mean is a point, and grey its posterior, out to two standard deviations, some of them outlined;
   red circles are the prior, at one and two. Below, what the decoder makes of every place of the same plane, pale
   where no posterior reaches.
   - Only reconstruction: faces are points without extent, wherever they happened to fall. The gaps between and around
     them belong to no face, and nothing was asked of the decoder there; a draw of the prior falls into a gap.
   - Only KL: every posterior is the prior and all faces share one point; the decoder learns nothing and gives the same
     grey everywhere: collapse.
   - Both: posteriors have an extent and fill the prior, so that neighbours decode alike, and the change is smooth."""


def _six(folder: Path, six: Run) -> None:
    from vae_batch.cli.lesson_pictures import draw_six, read_attributes

    _step(7, "Six dimensions: each face's posterior beside it")
    draw_six(folder, six)
    found = read_attributes(six)
    click.echo(f"   {'':14}{'best dimension':>16}{'r with it':>11}{'from all six':>15}")
    for attribute in found:
        all_six = f"{attribute.probe.metric} {attribute.probe.score:.2f}"
        click.echo(f"   {attribute.name:14}{attribute.dim:16}{attribute.r:+11.2f}{all_six:>15}")
    apart = [a.name for a in found if a.alone]
    lost = [a.name for a in found if a.lost]
    mixed = [a.name for a in found if not a.alone and not a.lost]
    for what, names in ((APART, apart), (MIXED, mixed), (LOST, lost)):
        if names:
            click.echo(what.format(names=", ".join(names)))
    click.echo(SIX.format(folder=folder))


APART = "   - A dimension to itself: {names}."
MIXED = "   - Known from the six together, but spread over several dimensions: {names}."
LOST = "   - Not kept: {names}. Six numbers went to what moves more pixels."
SIX = """
   r: correlation of the attribute with that dimension's mean. From all six: of a linear map, on faces it was not
   fitted on. Nothing in the ELBO asks that a dimension be an attribute: where one is, its pixels move on their own.

   {folder}/six_faces.png         faces, and beside each its six Gaussians over the prior's (dashed)
   {folder}/six_traversals.png    each dimension from -3 to 3, the others at 0
   {folder}/six_correlations.png  every dimension with every attribute"""
