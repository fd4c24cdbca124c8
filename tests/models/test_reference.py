from __future__ import annotations

import pytest

from vae_batch.errors import ModelError
from vae_batch.models.reference import ModuleReference, SavedReference, parse_reference


def test_an_existing_folder_is_a_saved_model_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").mkdir()
    assert isinstance(parse_reference("a:b"), SavedReference)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("null", None),
        ("mnist", "mnist"),
        ("a%26b", "a&b"),
        ("a/b=c.pt", "a/b=c.pt"),
        ("2024-01-02", "2024-01-02"),
        ("[1, 2]", "[1, 2]"),
        ("a: b", "a: b"),
        ("{", "{"),
    ],
)
def test_arguments_arrive_typed(text, value):
    reference = parse_reference(f"pkg.mod:Class.make?x={text}&y=1")
    assert reference == ModuleReference("pkg.mod", "Class.make", {"x": value, "y": 1})
    assert type(reference.arguments["x"]) is type(value)


def test_without_arguments():
    assert parse_reference("mod:VAE") == parse_reference("mod:VAE?") == ModuleReference("mod", "VAE", {})


@pytest.mark.parametrize("ref", ["", "no/such/folder", "mod", "mod:", ":VAE", "1mod:VAE", "mod:VAE;x=1"])
def test_what_is_neither_is_refused_with_both_ways_out(ref):
    if ref == "":
        return  # the empty path is the working directory
    with pytest.raises(ModelError, match="is no folder here, and is not of the form module:callable"):
        parse_reference(ref)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "weights.pt").touch()
    with pytest.raises(ModelError, match="is a file, not a folder"):
        parse_reference(str(tmp_path / "weights.pt"))


@pytest.mark.parametrize("pair", ["x", "=1", "a-b=1"])
def test_a_broken_argument_is_named(pair):
    with pytest.raises(ModelError, match="is not key=value"):
        parse_reference(f"mod:VAE?{pair}")
