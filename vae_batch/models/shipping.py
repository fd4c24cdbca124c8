"""The source text of a user's modules: found here, sent to the replicas, installed there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath

from vae_batch import storage
from vae_batch.errors import ModelError
from vae_batch.models.reference import ModuleReference, parse_reference

_installed: list[str] = []
"""Folders that `install_sources` made in this process."""


def look_in_working_directory() -> None:
    """Let modules of the working directory be imported: before the environment's, behind installed sources."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for folder in _installed:
        sys.path.remove(folder)
        sys.path.insert(0, folder)


def module_sources(ref: str) -> dict[str, str]:
    """Give the user's own modules that a model needs: those imported from under the working directory.

    Modules of an environment and vae_batch itself stay out, since every node has them. Data files are not sent.

    Returns:
        Source text by path relative to the folder that it is imported from, POSIX; empty for a saved folder.

    Raises:
        ModelError: `ref` names no model.
    """
    reference = parse_reference(ref)
    if not isinstance(reference, ModuleReference):
        return {}
    look_in_working_directory()
    imported = [name for name in list(sys.modules) if name != "__main__"]
    return dict(_own_files([*_behind(reference.module), *imported]))


def sources_behind(module: str) -> dict[str, str]:
    """Give the text of a module and of the user's own modules that its `import` statements lead to, by path.

    Unlike `module_sources` a function of the files alone: nothing counts that the process happens to have imported.
    """
    sources = dict(_own_files(_behind(module)))
    spec = _spec(module)
    if spec and spec.origin and _path(spec) not in sources:  # a module of the environment: its own file only
        sources[_path(spec)] = _read(Path(spec.origin))
    return dict(sorted(sources.items()))


def install_sources(sources: Mapping[str, str]) -> Path:
    """Write what `module_sources` gave into a fresh folder, and let Python import from it first.

    Raises:
        ModelError: a path leads out of the folder.
    """
    for path in sources:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
            raise ModelError(f"the model's source file {path!r} would be written outside its folder")
    folder = storage.own_folder("sources")
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    _installed.append(str(folder))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return folder


def _behind(module: str) -> Iterator[str]:
    """Follow import statements, into the user's own files only; give the names met, parents included."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if parent := name.rpartition(".")[0]:
            todo.append(parent)
        if (spec := _spec(name)) and _is_own(spec):
            yield name
            todo += _imports(spec)


def _imports(spec: ModuleSpec) -> Iterator[str]:
    """Names that a module's text imports; of `from a import b` both a and a.b, since b may be a module."""
    try:
        tree = ast.parse(_read(Path(spec.origin or "")))
    except SyntaxError:  # never imported, or the import would have said so
        return
    package = spec.name if spec.submodule_search_locations is not None else spec.parent
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(start, package) if node.level else start
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _own_files(names: list[str] | Iterator[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if (spec := _spec(name)) and _is_own(spec):
            yield _path(spec), _read(Path(spec.origin or ""))


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without running it; None where there is none. Only user's packages are entered."""
    top = name.partition(".")[0]
    try:
        if top != name and (outer := importlib.util.find_spec(top)) and outer.origin and not _is_own(outer):
            module = sys.modules.get(name)
            return module.__spec__ if module else None
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _is_own(spec: ModuleSpec) -> bool:
    """Say whether a module is a file of the user's, under the working directory or installed by us."""
    if not spec.has_location or not spec.origin or not spec.origin.endswith(".py"):
        return False
    file = Path(spec.origin).resolve()
    if any(file.is_relative_to(folder) for folder in _foreign()) or "site-packages" in file.parts:
        return False
    roots = (Path.cwd(), *map(Path, _installed))
    return any(file.is_relative_to(root.resolve()) for root in roots)


@lru_cache(maxsize=1)
def _foreign() -> tuple[Path, ...]:
    """Folders whose modules are on every node: the environment's, the standard library's, our own."""
    paths = sysconfig.get_paths()
    standard = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(folder).resolve() for folder in [sys.prefix, *standard, str(Path(__file__).parents[1])])


def _path(spec: ModuleSpec) -> str:
    """Give the path that a module has below the folder it is imported from."""
    base = spec.name.replace(".", "/")
    return f"{base}/__init__.py" if spec.submodule_search_locations is not None else f"{base}.py"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the model's source file {file}: {error}") from None
