"""Whether edits do what they say, and whether the latent space is smooth: `python -m tests.benchmarks.edits`.

On drawn faces, whose attributes are known. Glasses are added to faces without, that neither the vector nor the probes
have seen; the pictures are encoded again, and linear probes are asked: how many have glasses now, and how far did each
other attribute move, in its own standard deviation. Wanted: at least 0.90, and less than 0.20 each. Then, along ways
between faces, the largest step in pixels to the median one of its way, and, of each face's nearest neighbours by
latent, how far the order of their distances in latents is that of their distances in pixels (Spearman). Pictures are
those that `generate` writes, and are read by `encode`; without --model, faces, model and latents are made in --folder.
Asserts nothing.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import ray
from PIL import Image

import vae_batch
from vae_batch.faces import write_faces
from vae_batch.training import Watch

ATTRIBUTES = ("smile", "skin_tone", "glasses", "beard", "hair_colour", "hair_length")
OTHERS = tuple(name for name in ATTRIBUTES if name != "glasses")
WORN = ATTRIBUTES.index("glasses")

F64 = npt.NDArray[np.float64]


def read(out: Path | str) -> tuple[F64, F64]:
    """Posterior means (N, D) and attributes (N, 6)."""
    table = pq.read_table(f"{out}/data", columns=["mean", *ATTRIBUTES])
    return np.stack(table["mean"].to_numpy()), np.stack([table[name].to_numpy() for name in ATTRIBUTES], 1)


def pictures(out: Path) -> F64:
    """Pixels (N, P) of a generated data set, in [0, 1]."""
    images = pq.read_table(out / "data", columns=["image"])["image"].to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(i["bytes"])), np.float64).ravel() / 255 for i in images])


def probe(x_ND: F64, y_NA: F64) -> F64:
    """Fit a ridge regression to each attribute: (D + 1, A)."""
    inputs = np.hstack([x_ND, np.ones((len(x_ND), 1))])
    return np.linalg.solve(inputs.T @ inputs + 1e-3 * np.eye(inputs.shape[1]), inputs.T @ y_NA)


def asked(maps: F64, x_ND: F64) -> F64:
    """What the probes say, (N, A)."""
    return np.hstack([x_ND, np.ones((len(x_ND), 1))]) @ maps


def again(told: argparse.Namespace, name: str) -> F64:
    """Encode the pictures of a generated data set: posterior means (N, D), in their order."""
    source, out = told.folder / name / "data", told.folder / f"{name}_encoded"
    vae_batch.encode(vae_batch.EncodeSpec(source=str(source), model=told.model, out=str(out)))
    table = pq.read_table(out / "data", columns=["index", "mean"]).sort_by("index")
    return np.stack(table["mean"].to_numpy())


def generate(told: argparse.Namespace, name: str, **values: object) -> Path:
    """Make a data set from the faces that were held out."""
    out = told.folder / name
    place = {"model": told.model, "latents": str(told.folder / "others_encoded"), "out": str(out)}
    vae_batch.generate(vae_batch.GenerateSpec(**{**place, **values}))
    return out


def edits(told: argparse.Namespace, balance: tuple[str, ...]) -> None:
    """Print what the vector of glasses, learnt from the other faces, does."""
    name = "balanced" if balance else "plain"
    learnt = told.folder / f"vector_{name}"
    vae_batch.generate(
        vae_batch.GenerateSpec(
            model=told.model, latents=told.latents, out=str(learnt), sampler="edit", attribute="glasses",
            balance=balance, count=1,
        )
    )  # fmt: skip
    (fit,) = (learnt / ".vae_batch").glob("fit-*.safetensors")
    strengths = (0.0, told.strength)
    generate(told, name, sampler="edit", fit=str(fit), where="NOT glasses", strength=strengths)
    maps, (_, known) = probe(*read(told.latents)), read(told.folder / "others_encoded")
    said = asked(maps, again(told, name)).reshape(-1, 2, len(ATTRIBUTES))
    before, after = said[:, 0], said[:, 1]
    turned = (after[before[:, WORN] <= 0.5, WORN] > 0.5).mean()
    print(f"{name:9} {len(said):,} faces: {turned:.3f} have glasses now ({(before[:, WORN] > 0.5).mean():.3f} before)")
    moved = np.abs(after - before).mean(0) / known.std(0)
    print("          moved, of the spread: " + ", ".join(f"{n} {moved[ATTRIBUTES.index(n)]:.3f}" for n in OTHERS))


def steps(told: argparse.Namespace, path: str) -> None:
    """Print how even the steps are along ways between faces, by root mean square of pixels."""
    count, per = told.ways, 33
    x = pictures(generate(told, path, sampler="interpolate", path=path, steps=per, count=count * per))
    step = np.sqrt(np.square(np.diff(x.reshape(count, per, -1), axis=1)).mean(2))
    ratio = step.max(1) / np.median(step, axis=1)
    print(
        f"{path:9} {count} ways of {per - 1} steps: largest to median step {np.median(ratio):.2f} in the median way, "
        f"{ratio.max():.2f} at most"
    )


def ranks(x: F64) -> F64:
    """Ranks along the last axis; distances have no ties."""
    return x.argsort(-1).argsort(-1).astype(np.float64)


def neighbours(told: argparse.Namespace, near: int = 50) -> None:
    """Print the rank correlation of distances in latents and in decoded pixels, among neighbours and among all."""
    x = pictures(generate(told, "means", sampler="reconstruct", count=told.faces))
    z = read(told.folder / "others_encoded")[0][: told.faces]
    latent, pixel = (np.sqrt(np.maximum(_squares(v), 0.0)) for v in (z, x))
    order = latent.argsort(1)[:, 1:]
    for name, some in ((f"{near} nearest", order[:, :near]), ("all", order)):
        pair = [ranks(np.take_along_axis(d, some, 1)) for d in (latent, pixel)]
        a, b = (r - r.mean(1, keepdims=True) for r in pair)
        rho = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
        print(f"distances in latents and in pixels, {name}: rank correlation {rho.mean():.2f} (mean of {len(z)} faces)")
    far = np.take_along_axis(pixel, order[:, -near:], 1).mean()
    print(f"the nearest face is {np.take_along_axis(pixel, order[:, :1], 1).mean() / far:.2f} as far as the farthest")


def _squares(v_ND: F64) -> F64:
    square = np.square(v_ND).sum(1)
    return square[:, None] + square - 2 * v_ND @ v_ND.T


def make(told: argparse.Namespace) -> None:
    """Draw faces, train, encode; what is there already stays."""
    from vae_batch.cluster.train import train

    told.model, told.latents = str(told.folder / "model"), str(told.folder / "latents")
    write_faces(str(told.folder / "faces"), told.count)
    train(vae_batch.TrainSpec(source=str(told.folder / "faces"), out=told.model, epochs=told.epochs), Watch())
    spec = vae_batch.EncodeSpec(source=str(told.folder / "faces"), model=told.model, out=told.latents)
    vae_batch.encode(spec)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.edits", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="New: for what is made.")
    parser.add_argument("--model", help="Trained on drawn faces; with --latents.")
    parser.add_argument("--latents", help="Drawn faces of another seed than 7, encoded by it.")
    parser.add_argument("--count", type=int, default=4000, help="Faces to train on, without --model.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--faces", type=int, default=1000, help="Held out.")
    parser.add_argument("--ways", type=int, default=100)
    parser.add_argument("--strength", type=float, default=1.0)
    told = parser.parse_args()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")  # once for all
    if told.model is None:
        make(told)
    write_faces(str(told.folder / "others"), told.faces, seed=7)
    others = {"source": str(told.folder / "others"), "out": str(told.folder / "others_encoded")}
    vae_batch.encode(vae_batch.EncodeSpec(model=told.model, **others))
    for balance in ((), OTHERS):
        edits(told, balance)
    for path in ("lerp", "slerp"):
        steps(told, path)
    neighbours(told)


if __name__ == "__main__":
    main()
