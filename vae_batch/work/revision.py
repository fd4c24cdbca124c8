"""A source that grew or was repaired since its job began: what the job can take in, and how that is written.

A job goes on only from the source that its plan knows. Three changes can be taken in, because no row that is written
already comes out of them differently, or because all the units that it touches are made anew:

- new files, with `extend`: further units behind the old ones. Old parts are not touched, nor is the fingerprint;
- a loose file that is a reject, or in a unit without a part, and has another size or is gone, with `retry_rejects`:
  the plan names the path alone, so its unit is read again as it is now (what is gone is a reject again);
- a shard with rejects, or without all its parts, that was repaired or replaced, with `retry_rejects`: it is looked at
  anew, also where its size is the same, and cut into as many pieces as it had, and all its units are made anew.

All else is refused, with names. A file changed without changing its size is not noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from vae_batch import storage
from vae_batch.errors import MismatchError
from vae_batch.latents.collection import NO_CHANGE, Change, compare, missing_again, some, write_collection
from vae_batch.latents.job import JobFile, SourceState
from vae_batch.latents.layout import Layout
from vae_batch.latents.plan import Plan, open_plan, write_plan
from vae_batch.latents.rejects import SCHEMA, rejects
from vae_batch.latents.retry import load_retry, save_retry
from vae_batch.sources import Source
from vae_batch.sources.replan import collection_of, further_units, only, replanned
from vae_batch.specs import EncodeSpec
from vae_batch.types import Unit


@dataclass(frozen=True, slots=True)
class Revision:
    """What is to be written before work begins; nothing of it is written yet."""

    digest: str
    """Of the source as it is now."""
    change: Change
    added: Source | None
    """The source's new files alone."""
    replaced: Mapping[int, Unit] = field(default_factory=dict)
    """Units of the plan that are planned anew."""
    redo: frozenset[int] | None = None
    """Units with a part that are to be made anew; None where no retry begins."""
    rejects: int = 0
    """In the units to be made anew."""

    def lines(self) -> Iterator[str]:
        """Say what is done."""
        if self.added:
            yield f"Extending by what is new in the source, {some(self.change.new)}."
        if self.redo is not None:
            yield f"Trying {self.rejects:,} rejects again: {len(self.redo):,} units are made anew."


def look(spec: EncodeSpec, layout: Layout, job: JobFile, source: Source, digest: str) -> Revision | None:
    """Compare a source with what its job has planned; None where all is as it was and no retry is to begin.

    Args:
        spec: says whether to extend, and whether to try rejects again. A retry that is under way goes on in any case.
        layout: OUT's.
        job: its job file.
        source: as it is now.
        digest: of the source.

    Raises:
        MismatchError: the source has changed in a way that `spec` does not allow, or that cannot be taken in.
        SourceError: a replaced shard cannot be cut as it was.
    """
    known = job.history[-1]
    change = NO_CHANGE if digest == known.digest else compare(layout, known.collection, collection_of(source))
    under_way = load_retry(layout)
    retry = spec.retry_rejects and (digest != known.digest or under_way is None)
    plan, present = open_plan(layout, job.plan), layout.parts()[0]
    table = rejects(layout.out) if retry else SCHEMA.empty_table()
    if digest != known.digest:
        _check(spec, layout, change, *_untouched(plan, present, change, table, retry))
    added = only(source, change.new) if len(change.new) else None
    if not retry:
        return Revision(digest, change, added) if change else None
    replaced = replanned(source, _units(plan), _shards_to_look_at(change, table), job.fields["unit_size"])
    redo = (set(table["unit"].to_pylist()) | set(replaced)) & present | (under_way or set())
    if not redo and not replaced and not change:
        return None
    return Revision(digest, change, added, replaced, frozenset(redo) if redo else None, len(table))


def remarks_on(spec: EncodeSpec, layout: Layout, revision: Revision | None) -> list[str]:
    """Lines for the user about what `look` found."""
    lines = list(revision.lines()) if revision else []
    if spec.extend and not (revision and revision.added):
        lines.append("--extend: nothing is new in the source.")
    if spec.retry_rejects and not (revision and revision.redo):
        under_way = load_retry(layout)
        going_on = f"going on with a retry of which {len(under_way or ()):,} units are left"
        lines.append(f"--retry-rejects: {'there is nothing to try again' if under_way is None else going_on}.")
    return lines


def revise(layout: Layout, job: JobFile, source: Source, revision: Revision) -> None:
    """Write a revision: plan, paths and sizes, the units to be made anew; and last the job file, which makes it hold.

    Killed before that, the job is what it was, and what was written counts for nothing: a list of units to be made
    anew may remain, and they are, from the source as the plan knows it.
    """
    known, totals = job.history[-1], job.plan
    collection = known.collection
    if revision.added or revision.replaced:
        totals = write_plan(layout, _revised(open_plan(layout, job.plan), revision, job.fields["unit_size"]))
    if revision.change:
        gone = missing_again(layout, known.collection, revision.change)
        collection = write_collection(layout, collection_of(source), gone)
    if revision.redo is not None:
        for unit in revision.redo:  # what killed an older decoder may pass now
            storage.remove(layout.quarantine_file(unit))
        save_retry(layout, revision.redo)
    state = SourceState(revision.digest, collection, totals.units)
    if state != known or totals != job.plan:
        replace(job, plan=totals, history=(*job.history, state)).save(layout)


def _revised(plan: Plan, revision: Revision, unit_size: int) -> Iterator[Unit]:
    row = 0  # loose files count through, whatever they were added with
    for unit in _units(plan):
        if unit.pieces[0].format == "folder":
            row = unit.pieces[0].first_row + (unit.seen or 0)
        yield revision.replaced.get(unit.number, unit)
    if revision.added:
        yield from further_units(revision.added, unit_size, len(plan), row)


def _units(plan: Plan) -> Iterator[Unit]:
    return (plan[number] for number in range(len(plan)))


def _untouched(
    plan: Plan, present: set[int], change: Change, table: pa.Table, retry: bool
) -> tuple[pa.Array, pa.Array]:
    """Of what is gone and what changed, that of which rows may be written: all but rejects and units without a part."""
    if not retry:
        return change.gone, change.changed
    wanted = {*change.gone.to_pylist(), *change.changed.to_pylist()}
    loose = pc.equal(table["shard"], ".")
    files = wanted.intersection(table.filter(loose)["id"].to_pylist())
    shards = wanted.intersection(table["shard"].to_pylist())
    for number in sorted(set(range(len(plan))) - present):
        for piece in plan[number].pieces:
            files.update(wanted.intersection(piece.files))
            shards.update(wanted & {piece.shard})
    return _without(change.gone, files), _without(change.changed, files | shards)


def _without(paths: pa.Array, covered: set[str]) -> pa.Array:
    return paths.filter(pc.invert(pc.is_in(paths, value_set=pa.array(sorted(covered), paths.type))))


def _shards_to_look_at(change: Change, table: pa.Table) -> set[str]:
    """Shards of another size, and those in which something could not be read: a repair may keep the size."""
    unread = table.filter(pc.equal(table["stage"], "read"))["shard"].to_pylist()
    return {*change.changed.to_pylist(), *unread} - {"."}


def _check(spec: EncodeSpec, layout: Layout, change: Change, gone: pa.Array, changed: pa.Array) -> None:
    """Refuse what the spec does not allow, and what cannot be taken in."""
    surplus = len(change.new) and not spec.extend
    written = pa.concat_arrays([gone, changed])
    if change and not surplus and not len(written):
        return
    lines = [f"{layout.out}: the source {spec.source} is not what it was when OUT was begun:"]
    lines.append(change.table() if change else "  a listing's content, or the order or the number of its files differs")
    if surplus:
        lines.append("--extend encodes what is new, as further units; the parts that are there stay as they are.")
    if len(written) and not spec.retry_rejects:
        lines.append("--retry-rejects takes in files that were rejects and were repaired.")
    elif len(written):
        lines.append(f"Rows are written of {some(written)}; --retry-rejects takes in only what was a reject.")
    lines.append("Put other files back as they were, or give another --out.")
    raise MismatchError("\n".join(lines))
