"""The command line: each command is a file here; it is loaded only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

# name: one line of help, kept here so that `--help` loads nothing.
COMMANDS = {
    "demo": "See the whole of it at work on drawn faces, in under three minutes.",
    "lesson": "See what the terms of the ELBO are for: three trainings side by side.",
    "draw-faces": "Draw a data set of faces whose attributes are known.",
    "train": "Train a VAE on a collection of images.",
    "inspect": "Say what a model is, and how fast it encodes and decodes here.",
    "encode": "Encode a collection: posterior means, variances and samples to Parquet, exactly once.",
    "generate": "Generate a synthetic data set: pictures decoded from drawn latents, exactly once.",
    "resample": "Draw anew from stored posteriors: no model, no images.",
    "export": "Write a data set for the Hugging Face hub, as numpy arrays, or as WebDataset tars.",
    "preview": "Show a generated data set: a contact sheet with captions.",
    "evaluate": "Judge a generated data set beside real images: fidelity, variety, copying, attributes.",
    "plan": "Say what `encode` would do, and how long it would take, before anything is spent.",
    "run": "Run a job from a spec file (YAML).",
    "status": "Say how far a job is.",
    "rejects": "List the images that could not be encoded, by reason; copy them out to look at them.",
    "verify": "Check an output data set against its plan, its digests and its source.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of a first use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command's module and give its `command`."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"vae_batch.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vae_batch")
def group() -> None:
    """Batch work with variational autoencoders on Ray: whole image collections to latent posteriors."""


def main() -> None:
    """Entry point: errors of ours are one message on stderr and their own exit code; -v adds what caused them."""
    from vae_batch.errors import InterruptedJobError, VaeBatchError

    try:
        group.main(standalone_mode=True)
    except (VaeBatchError, OSError) as error:
        if {"-v", "--verbose"} & set(sys.argv):
            traceback.print_exception(error)
        click.echo(f"vae-batch: {error}", err=True)
        if isinstance(error, InterruptedJobError) and "ray" in sys.modules:
            sys.stdout.flush()
            os._exit(error.exit_code)  # what Ray had begun just then is in no state to be ended in order
        sys.exit(error.exit_code if isinstance(error, VaeBatchError) else 1)
