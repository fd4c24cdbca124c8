"""`vae-batch evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vae_batch.cli.options import DATA_SET, TRUST_MODEL_CODE

if TYPE_CHECKING:
    from vae_batch.specs import EvaluateSpec


def run_evaluate(spec: EvaluateSpec, verbose: bool, as_json: bool = False) -> None:
    """Evaluate, with messages on stderr and the result on stdout."""
    import json

    from vae_batch.cli.console import ConsoleReport
    from vae_batch.cluster.evaluate import evaluate

    with ConsoleReport() as report:
        found = evaluate(spec, report, verbose)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    from vae_batch.cli.evaluate_tables import show

    show(found)


@click.command()
@click.argument("generated", type=DATA_SET)
@click.option(
    "--real", required=True, metavar="ENCODED|SOURCE",
    help="Images that the model was not trained on: encoded by it, or a collection.",
)  # fmt: skip
@click.option("--train", metavar="ENCODED|SOURCE", help="Those that it was trained on: does it copy them?")
@click.option("--where", metavar="SQL", help="Only the rows of --real for which it is true.")
@click.option("--model", help="Where the model is now.  [default: where GENERATED says]")
@click.option("--work", metavar="DIR", help="For what has to be encoded; kept.  [default: in GENERATED]")
@click.option("--k", type=int, default=5, show_default=True, help="Neighbours that radii reach to.")
@click.option(
    "--limit", type=int, default=10_000, show_default=True,
    help="Images of each set, at most, for all but the latent Fréchet distance.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses them.")
@click.option("--address", help="Ray cluster.  [default: RAY_ADDRESS, else a private one]")
@TRUST_MODEL_CODE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="Let Ray's own log through.")
def command(verbose: bool, as_json: bool, **values: Any) -> None:
    """Compare GENERATED, a generated data set, with real images, in the latent space of the VAE that made it.

    Its pictures are encoded again, so codec and size are judged too. Precision and density say how real they look,
    recall and coverage how much of the real variety they have (Naeem et al. 2020); the latent Fréchet distance says
    both in one figure, for this model and this number of images only: it is no FID. --train asks whether they are
    copies. Where --real has labels, their distribution is compared as a linear map reads them from the latent.

    \b
    Example:
      vae-batch evaluate synthetic/ --real held_out_latents/ --train latents/

    Exit codes: 0 done, 1 failed, 2 usage, 75 interrupted: run again to go on.
    """
    from vae_batch.specs import EvaluateSpec

    run_evaluate(EvaluateSpec(**values), verbose, as_json)
