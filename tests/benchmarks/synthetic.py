"""How good synthetic faces are, by how latents are drawn: `python -m tests.benchmarks.synthetic --folder DIR`.

Trains on 4,000 drawn faces as `vae-batch demo` does (or takes --model and its --latents), draws faces of another seed
to hold out, makes as many from the prior and from mixtures fitted to the training faces, and evaluates each beside the
held-out ones. Wanted: the best mixture beats the prior in latent Fréchet distance and in coverage.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import vae_batch
from vae_batch.analysis.evaluation import Evaluation
from vae_batch.faces import write_faces

HEAD = f"{'sampler':18} {'latent Fréchet':>14} {'precision':>9} {'density':>7} {'recall':>6} {'coverage':>8} "
HEAD += f"{'nearest':>7} {'z':>6} {'copies':>6}"


def faces(folder: Path, count: int, seed: int) -> Path:
    """Draw faces, once."""
    if not folder.exists():
        write_faces(str(folder), count, seed=seed, shard_size=500)
    return folder


def encode(source: Path, model: Path, out: Path) -> Path:
    vae_batch.encode(vae_batch.EncodeSpec(source=str(source), model=str(model), out=str(out)))
    return out


def line(name: str, found: Evaluation) -> str:
    """One row of the table; `nearest`: median distance to a training face by that of held-out ones."""
    scores, copying = found.prdc, found.copying
    assert copying is not None
    nearest = copying.generated["median"] / copying.held_out["median"]
    return (
        f"{name:18} {found.latent_frechet.generated:14.2f} {scores.precision:9.3f} {scores.density:7.3f} "
        f"{scores.recall:6.3f} {scores.coverage:8.3f} {nearest:7.2f} {copying.z:+6.1f} {copying.below:6.1%}"
    )


def main() -> None:
    """Draw, train, encode, generate, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="Goes on where it stopped.")
    parser.add_argument("--model", type=Path, help="A trained model, and --latents: its training faces, encoded.")
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--train", type=int, default=4000, help="Faces to train on, without --model.")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--count", type=int, default=2000, help="Faces to hold out, and to make by each sampler.")
    parser.add_argument("--components", type=int, nargs="+", default=[1, 10, 30])
    told = parser.parse_args()
    model, latents = told.model or told.folder / "model", told.latents
    if not told.model:
        source = faces(told.folder / "faces", told.train, seed=0)
        vae_batch.train(vae_batch.TrainSpec(source=str(source), out=str(model), epochs=told.epochs, validation=0))
        latents = encode(source, model, told.folder / "latents")
    held_out = encode(faces(told.folder / "held_out", told.count, seed=7), model, told.folder / "held_out_latents")
    ways: dict[str, dict[str, Any]] = {"prior": {}}
    for k in told.components:
        ways[f"fitted, {k} Gaussian{'s' * (k > 1)}"] = {"sampler": "fitted", "components": k, "latents": str(latents)}
    results = {}
    for number, (name, way) in enumerate(ways.items()):
        out = str(told.folder / "made" / f"{way.get('sampler', 'prior')}{way.get('components', '')}")
        vae_batch.generate(vae_batch.GenerateSpec(model=str(model), out=out, count=told.count, **way))
        results[name] = vae_batch.evaluate(
            vae_batch.EvaluateSpec(generated=out, real=str(held_out), train=str(latents))
        )
        if not number:
            chance, train = results[name].latent_frechet.chance, results[name].latent_frechet.train
            print(f"{told.count:,} of each; latent Fréchet by chance {chance:.2f}, of the training faces {train:.2f}")
            print(HEAD)
        print(line(name, results[name]), flush=True)
    prior, *fitted = results.values()
    best = min(fitted, key=lambda found: found.latent_frechet.generated)
    beats = best.latent_frechet.generated < prior.latent_frechet.generated and best.prdc.coverage > prior.prdc.coverage
    print(f"the best mixture beats the prior in latent Fréchet and coverage: {'yes' if beats else 'no'}")


if __name__ == "__main__":
    main()
