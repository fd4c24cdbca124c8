"""From a spec to edits: the vector of an attribute, learnt when the job begins or given."""

from __future__ import annotations

import numpy as np

from vae_batch import storage
from vae_batch.errors import SpecError
from vae_batch.latents.condition import condition, is_number
from vae_batch.latents.posteriors import Posteriors
from vae_batch.models import ModelCard
from vae_batch.samplers import AttributeVector, Edit, attribute_vector, read_fit
from vae_batch.specs import GenerateSpec
from vae_batch.work.encoded import Encoded, Kept, Origin, Say, open_encoded, same_model


def edit_origin(spec: GenerateSpec, card: ModelCard, kept: Kept) -> Origin:
    """Look at what is edited, and at the attribute unless the job has its vector already. Raises as `origin_of`."""
    encoded = open_encoded(spec, card)
    fields = {**encoded.fields, "strength": list(spec.strength)}
    if spec.fit is not None:
        file = storage.absolute(spec.fit)
        given, digest = read_fit(AttributeVector, file)
        same_model(given.facts["model"], f"--fit {spec.fit} was made of latents of", spec, card)
        sampler = Edit(encoded.chosen, given.facts["attribute"], spec.strength)
        content = storage.read_bytes(file)
        return Origin(sampler, {**fields, "fit": digest}, encoded.remarks, lambda say: content)
    sampler = Edit(encoded.chosen, spec.attribute or "", spec.strength)
    fields |= {"attribute": spec.attribute, "balance": list(spec.balance)}
    if kept:
        return Origin(sampler, fields, encoded.remarks)
    having, lacking, remarks = _sides(spec, encoded.every)
    return Origin(sampler, fields, encoded.remarks + remarks, lambda say: _learnt(spec, encoded, having, lacking, say))


def _sides(spec: GenerateSpec, every: Posteriors) -> tuple[Posteriors, Posteriors, tuple[str, ...]]:
    """Give the rows with the attribute and those without, of all. Raises SpecError, for `balance` too."""
    attribute, schema = spec.attribute or "", every.dataset().schema
    for name in spec.balance:
        if name not in schema.names or not is_number(schema.field(name).type):
            numbers = ", ".join(field.name for field in schema if is_number(field.type))
            raise SpecError(f"--balance {name}: {every.out} has no such column of bools or numbers; it has {numbers}")
        if name == attribute:
            raise SpecError(f"--balance {name}: that is the attribute itself")
    known, remark = condition(every.dataset(), attribute, "--attribute")
    having, lacking = every.split(known, attribute, "--attribute")
    return having, lacking, (remark,) if remark else ()


def _learnt(spec: GenerateSpec, encoded: Encoded, having: Posteriors, lacking: Posteriors, say: Say) -> bytes:
    vector, counts = attribute_vector(having, lacking, spec.balance)
    balanced = f", balanced for {', '.join(spec.balance)}" if spec.balance else ""
    left_out = f", {counts['left_out']:,} without a label left out" if counts["left_out"] else ""
    say(
        f"Vector of {spec.attribute}{balanced}: {counts['with']:,} rows with, {counts['without']:,} without{left_out}; "
        f"its length is {np.sqrt((vector**2).sum()):.2f}."
    )
    facts = {**encoded.facts(), **counts, "attribute": spec.attribute, "balance": list(spec.balance)}
    return AttributeVector(vector, facts).to_bytes()
