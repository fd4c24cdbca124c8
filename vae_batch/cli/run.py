"""`vae-batch run`."""

from __future__ import annotations

import click


@click.command()
@click.argument("spec_file", type=click.Path(exists=True, dir_okay=False))
@click.option("-v", "--verbose", is_flag=True, help="Let Ray's own log through.")
def command(spec_file: str, verbose: bool) -> None:
    """Run the job in SPEC_FILE: YAML whose keys are the options, with underscores, and `kind`.

    Paths in it are relative to the working directory.

    \b
    Example:
      vae-batch run jobs/encode_faces.yaml
    """
    from vae_batch.specs import EncodeSpec, EvaluateSpec, GenerateSpec, TrainSpec, load_spec

    spec = load_spec(spec_file)
    if isinstance(spec, EncodeSpec):
        from vae_batch.cli.encode import run_encode

        run_encode(spec, verbose)
    elif isinstance(spec, GenerateSpec):
        from vae_batch.cli.generate import run_generate

        run_generate(spec, verbose)
    elif isinstance(spec, EvaluateSpec):
        from vae_batch.cli.evaluate import run_evaluate

        run_evaluate(spec, verbose)
    elif isinstance(spec, TrainSpec):
        from vae_batch.cli.train import run_train

        run_train(spec)
