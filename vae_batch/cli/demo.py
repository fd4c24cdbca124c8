"""`vae-batch demo`: the whole of it at work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_batch.cli.shows import fresh_folder

if TYPE_CHECKING:
    from vae_batch.cli.console import ConsoleReport

FACES, SHARD_SIZE, EPOCHS, SHOWN = 4000, 500, 6, 12
ATTRIBUTES = ("smile", "skin_tone", "glasses", "beard", "hair_colour", "hair_length")

TABLE = """
SELECT count(*) AS faces,
       round(avg(kl), 1) AS mean_kl_nats,
       round(avg(psnr), 1) AS mean_psnr_db
FROM '{parts}'
"""

ACTIVE = """
WITH dims AS (
  SELECT unnest(mean::FLOAT[]) AS m, generate_subscripts(mean::FLOAT[], 1) AS d FROM '{parts}')
SELECT count(*) AS active_dimensions
FROM (SELECT d FROM dims GROUP BY d HAVING var_pop(m) >= 0.01)
"""


@click.command()
@click.option("--out", default="vae_batch_demo", show_default=True, help="A new or empty folder.")
def command(out: str) -> None:
    """See the whole of it at work: draw faces, train a VAE, encode them on two replicas, verify, look.

    \b
    Example:
      vae-batch demo --out demo/
    """
    from vae_batch.cli.console import ConsoleReport

    start = time.monotonic()
    with fresh_folder(out, "demo") as folder, ConsoleReport() as report:
        _draw(folder)
        _train(folder)
        _encode(folder, report)
        _verify(folder)
        _pictures(folder)
    _table(folder)
    _next(folder, time.monotonic() - start)


def _step(number: int, text: str) -> None:
    click.secho(f"\n{number}. {text}", bold=True)


def _draw(folder: Path) -> None:
    from vae_batch.faces import write_faces

    _step(1, f"Drawing {FACES:,} faces whose attributes are known, in tar shards of {SHARD_SIZE}")
    start = time.monotonic()
    write_faces(str(folder / "faces"), FACES, shard_size=SHARD_SIZE)
    click.echo(f"   {FACES / (time.monotonic() - start):,.0f} faces/s: {folder / 'faces'}")


def _train(folder: Path) -> None:
    from vae_batch.cli.train import run_train
    from vae_batch.specs import TrainSpec

    _step(2, f"Training a VAE on them for {EPOCHS} epochs: 64×64 pixels to 64 dimensions")
    faces, model = str(folder / "faces"), str(folder / "model")
    run_train(TrainSpec(source=faces, out=model, epochs=EPOCHS, validation=0), hint=False)


def _encode(folder: Path, report: ConsoleReport) -> None:
    from vae_batch.cluster.encode import encode
    from vae_batch.specs import EncodeSpec

    _step(3, "Encoding them on two Ray replicas: mean, variance and a sample of each posterior, in Parquet")
    spec = EncodeSpec(
        source=str(folder / "faces"),
        model=str(folder / "model"),
        out=str(folder / "latents"),
        replicas=2,
        diagnostics=True,
    )
    encode(spec, report)


def _verify(folder: Path) -> None:
    from vae_batch.errors import OutputError
    from vae_batch.latents.verify import verify

    _step(4, "Verifying: digests, counts, unique ids, and every sample made again from mean and variance")
    verdict = verify(folder / "latents")
    if not verdict.ok:
        raise OutputError("\n".join(verdict.findings))
    click.echo(f"   OK: {verdict.rows:,} rows in {verdict.parts} parts")


def _pictures(folder: Path) -> None:
    import numpy as np
    import torch

    from vae_batch.analysis.pictures import contact_sheet, to_uint8
    from vae_batch.images import Transform, load_image
    from vae_batch.latents.read import read_latents
    from vae_batch.models import load_model
    from vae_batch.noise import noise
    from vae_batch.sources import open_source, plan_units, read_unit
    from vae_batch.types import ImageRecord, Tally

    _step(5, "Pictures")
    model, latents = load_model(str(folder / "model")), read_latents(folder / "latents")
    transform = Transform.from_dict(model.card.transform or {})
    source = open_source(str(folder / "faces"))
    records = read_unit(source.root, next(iter(plan_units(source))), Tally())
    originals = np.zeros((SHOWN, transform.size, transform.size, 3), np.uint8)
    for slot, record in zip(originals, records, strict=False):
        assert isinstance(record, ImageRecord)
        load_image(record.data, transform, slot)
    with torch.inference_mode():
        mean = torch.from_numpy(latents.array("mean")[:SHOWN].copy())
        prior = torch.from_numpy(noise(0, [f"prior {i}" for i in range(3 * SHOWN)], mean.shape[1])[:, 0])
        rebuilt, drawn = (to_uint8(model.decode(z).numpy()) for z in (mean, prior))
    contact_sheet([originals, rebuilt], folder / "reconstructions.png")
    contact_sheet(list(drawn.reshape(3, SHOWN, *drawn.shape[1:])), folder / "prior_samples.png")
    click.echo(f"   {folder / 'reconstructions.png'}  originals above, decoded from their posterior means below")
    click.echo(f"   {folder / 'prior_samples.png'}    decoded from the prior N(0, I): faces that nobody drew")


def _table(folder: Path) -> None:
    import duckdb
    import numpy as np

    from vae_batch.analysis.probes import probe_attributes
    from vae_batch.latents.layout import Layout
    from vae_batch.latents.read import read_latents
    from vae_batch.latents.summary import Summary

    _step(6, "What the Parquet says")
    parts = f"{folder}/latents/data/*.parquet"
    click.echo(TABLE.format(parts=parts).strip() + "\n")
    row = duckdb.sql(TABLE.format(parts=parts)).fetchall()[0]
    active = duckdb.sql(ACTIVE.format(parts=parts)).fetchall()[0]
    summary = Summary.load(Layout.of(folder / "latents"))
    assert summary is not None
    click.echo(f"   rows                      {row[0]:>8,}")
    click.echo(f"   rejects                   {summary.rejects:>8,}")
    click.echo(f"   mean KL, nats per image   {row[1]:>8}")
    click.echo(f"   mean PSNR, dB             {row[2]:>8}")
    click.echo(f"   active dimensions         {active[0]:>8} of {summary.statistics['dimensions']}")
    latents = read_latents(folder / "latents")
    known = {name: np.asarray(latents.array(name)) for name in ATTRIBUTES}
    click.echo("\n   What a linear map from the latent mean knows of a face it was not fitted on:")
    for probe in probe_attributes(latents.array("mean"), known):
        bar = "█" * round(20 * max(0.0, probe.score if probe.metric == "R²" else 2 * probe.score - 1))
        click.echo(f"   {probe.attribute:12} {probe.metric:>4} {probe.score:5.2f}  {bar}")


def _next(folder: Path, seconds: float) -> None:
    click.secho(f"\nDone in {seconds:.0f} s. Try next:", bold=True)
    click.echo(f"  vae-batch encode YOUR_IMAGES --model {folder}/model --out latents   # a folder, or tars")
    click.echo(f"  vae-batch status {folder}/latents")
    click.echo(f"  vae-batch verify {folder}/latents --recompute 2")
    click.echo(f"  vae-batch encode {folder}/faces --model {folder}/model --out {folder}/latents --replicas 2")
