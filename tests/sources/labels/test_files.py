"""Label files as found in the wild: what is read from them, and what is said of them."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.labels.making import (
    ATTRIBUTES,
    NAMES,
    attributes_text,
    folder_of,
    joined,
    labels_of,
    partition_text,
    value,
    write,
)
from vae_batch.errors import SourceError
from vae_batch.sources.labels.celeba import output_names
from vae_batch.types import LANDMARK_COLUMNS

EXPECTED = {name: {a: value(i, j) == 1 for j, a in enumerate(ATTRIBUTES)} for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last_newline", [True, False])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_the_attributes_of_celeba(tmp_path: Path, newline: str, last_newline: bool, bom: str) -> None:
    file = write(tmp_path / "list_attr_celeba.txt", bom + attributes_text(), newline, last_newline)
    found, tally, labelling, remarks = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert labels_of(found) == EXPECTED
    assert [(f.key, f.type) for f in labelling.fields] == [(a, "bool") for a in ATTRIBUTES]
    assert not tally.unmatched
    assert remarks == [
        "Labels list_attr_celeba.txt: 8 rows, 4 columns, joined by id; all of 8 images looked at have a row."
    ]


@pytest.mark.parametrize(
    "header", ["image_id," + ",".join(ATTRIBUTES), '"image_id", "' + '" , "'.join(ATTRIBUTES) + '"']
)
def test_the_attributes_as_kaggle_has_them(tmp_path: Path, header: str) -> None:
    rows = [",".join([name, *(str(value(i, j)) for j in range(4))]) for i, name in enumerate(NAMES)]
    file = write(tmp_path / "list_attr_celeba.csv", header + "\n" + "\n".join(rows), "\r\n")
    found, *_ = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert labels_of(found) == EXPECTED


@pytest.mark.parametrize("count", [7, 202599])
def test_a_count_line_that_is_wrong_is_said(tmp_path: Path, count: int) -> None:
    file = write(tmp_path / "list_attr_celeba.txt", attributes_text(count=count))
    found, _, _, remarks = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert labels_of(found) == EXPECTED
    assert f"says in its first line that it has {count:,} rows, but has 8: it may be incomplete" in remarks[0]


def test_a_row_that_was_cut_is_left_out(tmp_path: Path) -> None:
    file = write(tmp_path / "list_attr_celeba.txt", attributes_text()[:-6], last_newline=False)
    found, tally, _, remarks = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert labels_of(found) == {**EXPECTED, NAMES[-1]: None}
    assert "1 rows are left out, which have not 4 values, such as line 10" in remarks[0]
    assert "says in its first line that it has 8 rows, but has 7" in remarks[1]
    assert tally.unmatched == {"list_attr_celeba.txt": 1}


@pytest.mark.parametrize("header", ["", "image_id partition\n", "8\nimage_id partition\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_partition_with_and_without_header(tmp_path: Path, header: str, newline: str) -> None:
    file = write(tmp_path / "list_eval_partition.txt", header + partition_text(), newline, last_newline=False)
    found, *_ = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert labels_of(found) == {name: {"partition": max(0, i - 5)} for i, name in enumerate(NAMES)}


def test_the_other_files_of_celeba(tmp_path: Path) -> None:
    anno = tmp_path / "Anno"
    write(anno / "identity_CelebA.txt", "".join(f"{n} {2880 + i}\n" for i, n in enumerate(NAMES)), "\r\n")
    points = "".join(f"{n}  {' '.join(f'{10 * i + j:4}' for j in range(10))}\n" for i, n in enumerate(NAMES))
    write(anno / "list_landmarks_align_celeba.txt", f"8\n{' '.join(LANDMARK_COLUMNS)} \n{points}")
    write(anno / "list_landmarks_celeba.txt", f"8\n{' '.join(LANDMARK_COLUMNS)} \n{points}")
    boxes = "".join(f"{n}    95  71 226 {313 + i}\n" for i, n in enumerate(NAMES))
    write(anno / "list_bbox_celeba.txt", f"8\nimage_id x_1 y_1 width height\n{boxes}")
    write(anno / "README.txt", "Read me")
    write(anno / "._list_bbox_celeba.txt", "metadata")
    found, _, labelling, remarks = joined(folder_of(tmp_path), tmp_path, labels=str(anno))
    labels = labels_of(found)[NAMES[1]]
    assert labels["identity"] == 2881
    assert [labels[point] for point in LANDMARK_COLUMNS] == list(range(10, 20))
    assert [labels[k] for k in ("x_1", "y_1", "width", "height")] == [95, 71, 226, 314]
    names = output_names([f.key for f in labelling.fields])
    assert (names["width"], names["height"], names["x_1"]) == ("bbox_width", "bbox_height", "x_1")
    assert any("list_landmarks_celeba.txt is left out" in remark for remark in remarks)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "labels.csv", "labels.parquet", "list_attr_celeba.txt.gz"])
def test_an_html_page_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    page = b"\n<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
    path = tmp_path / name
    path.write_bytes(gzip.compress(page) if name.endswith(".gz") else page)
    with pytest.raises(SourceError, match=r"is an HTML page .* quota .* download it again"):
        joined(folder_of(tmp_path), tmp_path, labels=str(path))


BROKEN = {
    "empty.csv": ("", "is empty"),
    "lfs.csv": ("version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
    "bare.csv": ("000001.jpg,1,2\n000002.jpg,3,4\n", "has no header"),
    "bare.txt": ("000001.jpg 1 2\n000002.jpg 3 4\n", "has no header"),
    "only_keys.csv": ("file,\n000001.jpg,\n", "has no columns but file"),
    "ragged.csv": ("file,a,b\n000001.jpg,1,2\n000002.jpg,1,2,3,4\n", "cannot be read"),
    "latin.csv": ("file,a\n000001.jpg,\udce9\n", "cannot be read"),
    "text.txt": (
        "Some words about\nthis collection of images\nand nothing\nelse here\n",
        "2 of 3 rows have not 3 values",
    ),
    "zero.csv": ("a,\0\0", "no label file of a known kind"),
    "picture.png": ("\x89PNG", "no label file of a known kind"),
    "lines.jsonl": ('{"file": "000001.jpg", "a": 1}\n{"file": ', "cannot be read"),
    "others.csv": ("file,a\nx.jpg,1\n", "names none of 8 images looked at: it has keys such as 'x.jpg'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_is_said(tmp_path: Path, name: str) -> None:
    text, message = BROKEN[name]
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match=message):
        joined(folder_of(tmp_path), tmp_path, labels=str(tmp_path / name))


def test_nothing_where_labels_should_be(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"--labels .*nowhere: no such file or folder"):
        joined(folder_of(tmp_path), tmp_path, labels=str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="holds no label files"):
        joined(folder_of(tmp_path), tmp_path, labels=str(folder_of(tmp_path)))


def test_types_are_those_of_all_rows(tmp_path: Path) -> None:
    rows = [
        f"{name},{i},{i / 4},{'true' if i % 2 else 'False'},00{i},x{i},,2020-01-0{i + 1}"
        for i, name in enumerate(NAMES)
    ]
    rows[-1] = f"{NAMES[-1]},,1e3,,7,,,"
    file = write(tmp_path / "labels.csv", "name,whole,real,yes,zeros,text,nothing,day\n" + "\n".join(rows))
    found, _, labelling, _ = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert {f.key: f.type for f in labelling.fields} == {
        "whole": "int64", "real": "float64", "yes": "bool", "zeros": "string", "text": "string", "nothing": "string",
        "day": "string",
    }  # fmt: skip
    labels = labels_of(found)
    assert labels[NAMES[1]] == {
        "whole": 1, "real": 0.25, "yes": True, "zeros": "001", "text": "x1", "nothing": None, "day": "2020-01-02",
    }  # fmt: skip
    assert labels[NAMES[-1]] == {
        "whole": None, "real": 1000.0, "yes": None, "zeros": "7", "text": None, "nothing": None, "day": None,
    }  # fmt: skip


def test_columns_may_be_called_anything(tmp_path: Path) -> None:
    names = ["place", "c0", "k0", "c1", "select", 'a"b', "it's", "ä ö", "1", "column0"]
    header = ",".join(["", "name", *('"' + name.replace('"', '""') + '"' for name in names), ""])
    rows = "".join(f"{i},{n}{''.join(f',{i + j}' for j in range(len(names)))},x\n" for i, n in enumerate(NAMES))
    file = write(tmp_path / "l.csv", f"{header}\n{rows}")
    found, *_ = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    labels = labels_of(found)[NAMES[2]]
    assert {name: labels[name] for name in names} == {name: 2 + j for j, name in enumerate(names)}


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"n": i, "x": i / 2, "b": i > 2, "s": "2020-01-01T00:00Z", "box": [1, {"k": i}], "mixed": i} for i in range(8)
    ]
    rows[3] |= {"mixed": "three", "late": 1, "n": None}
    text = "\n".join(json.dumps({**row, "file_name": name}) for row, name in zip(rows, NAMES, strict=True))
    file = write(tmp_path / "labels.jsonl", text)
    found, _, labelling, _ = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert {f.key: f.type for f in labelling.fields} == {
        "n": "int64", "x": "float64", "b": "bool", "s": "string", "box": "json", "mixed": "json", "late": "int64",
    }  # fmt: skip
    assert labels_of(found)[NAMES[3]] == rows[3]
    assert labels_of(found)[NAMES[4]] == {**rows[4], "late": None}


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "small": pa.array(range(8), pa.uint8()),
            "real": pa.array([i / 2 for i in range(8)], pa.float32()),
            "name": pa.array(NAMES).dictionary_encode(),
            "smile": [1, -1] * 4,
            "kind": pa.array(["a", "b"] * 4).dictionary_encode(),
            "box": [[1, i] for i in range(8)],
            "pixels": [b"\xff"] * 8,
            "good": [True, None] * 4,
        }
    )
    pq.write_table(table, tmp_path / "labels.parquet")
    found, _, labelling, _ = joined(folder_of(tmp_path), tmp_path, labels=str(tmp_path / "labels.parquet"))
    assert {f.key: f.type for f in labelling.fields} == {
        "small": "int64", "real": "float64", "smile": "bool", "kind": "string", "box": "json", "good": "bool",
    }  # fmt: skip
    assert labels_of(found)[NAMES[3]] == {
        "small": 3, "real": 1.5, "smile": False, "kind": "b", "box": [1, 3], "good": None,
    }  # fmt: skip


def test_types_that_the_user_gives(tmp_path: Path) -> None:
    file = write(tmp_path / "labels.csv", "name,a,b,c\n" + "".join(f"{n},{i},{i},0{i}\n" for i, n in enumerate(NAMES)))
    columns = {"a": "float64", "b": "string", "c": "int64", "elsewhere": "bool"}
    found, _, labelling, _ = joined(folder_of(tmp_path), tmp_path, columns, labels=str(file))
    assert labels_of(found)[NAMES[3]] == {"a": 3.0, "b": "3", "c": 3}
    found, _, labelling, _ = joined(folder_of(tmp_path), tmp_path, {"b": "string"}, labels=str(file))
    assert [f.key for f in labelling.fields] == ["b"]
    assert labels_of(found)[NAMES[3]] == {"b": "3"}


@pytest.mark.parametrize(
    ("key", "how"),
    [
        (lambda tar, i: f"{tar}/deep/{i:03}.jpg", "id"),
        (lambda tar, i: f"./deep/{i:03}.jpg", "path in the archive"),
        (lambda tar, i: f"{i:03}.jpg", "file name"),
        (lambda tar, i: f"{i:03}", "file name without extension"),
    ],
)
def test_keys_may_be_ids_paths_names_or_stems(tmp_path: Path, key: object, how: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(folder_of(tmp_path, [f"{i:03}.jpg" for i in range(10)]), "deep")
    text = "number,filename\n" + "".join(f"{i},{key('x.tar', i)}\n" for i in range(0, 10, 2))  # type: ignore[operator]
    file = write(tmp_path / "l.csv", text)
    found, tally, _, remarks = joined(tmp_path / "x.tar", tmp_path, labels=str(file))
    assert {int(i[-7:-4]): x for i, x in labels_of(found).items()} == {
        i: None if i % 2 else {"number": i} for i in range(10)
    }
    assert f"joined by {how}; 5 of 10 images looked at have none." in remarks[0]
    assert tally.unmatched == {"l.csv": 5}


def test_repeated_keys_and_shared_names_are_said(tmp_path: Path) -> None:
    source = folder_of(tmp_path, ["a/1.jpg", "b/1.jpg", "b/2.jpg"])
    file = write(tmp_path / "l.csv", "name,n\n2.jpg,1\n1.jpg,2\n2.jpg,3\n2.jpg,4\n\n")
    found, _, _, remarks = joined(source, tmp_path, labels=str(file))
    assert labels_of(found) == {"a/1.jpg": {"n": 2}, "b/1.jpg": {"n": 2}, "b/2.jpg": {"n": 1}}
    assert "2 of the images looked at share their file name with another, and so their labels" in remarks[1]
    assert remarks[2] == "Note: l.csv: 2 rows have the key of an earlier row, which counts."


def test_a_files_label_goes_before_a_sidecars(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    for name in NAMES[:3]:
        (source / name).with_suffix(".json").write_text('{"age": "side", "own": 1}')
    file = write(tmp_path / "l.csv", "name,age\n000001.jpg,1\n000004.jpg,4\n")
    found, *_ = joined(source, tmp_path, labels=str(file))
    assert [labels_of(found)[name] for name in NAMES[:5]] == [
        {"own": 1, "age": 1}, {"own": 1}, {"own": 1}, {"age": 4}, None,
    ]  # fmt: skip


def test_a_table_is_made_once(tmp_path: Path) -> None:
    file = write(tmp_path / "list_attr_celeba.txt", attributes_text())
    first = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    (table,) = (tmp_path / "tables").iterdir()
    made = table.stat().st_mtime_ns
    again = joined(folder_of(tmp_path), tmp_path, labels=str(file))
    assert table.stat().st_mtime_ns == made
    assert labels_of(again[0]) == labels_of(first[0])
    assert again[2].fingerprint == first[2].fingerprint
    assert again[3] == ["Labels list_attr_celeba.txt: 8 rows, joined by id as before."]
    write(file, attributes_text().replace("-1", " 1"))
    assert joined(folder_of(tmp_path), tmp_path, labels=str(file))[2].fingerprint != first[2].fingerprint


def test_labels_under_a_uri(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://anno/list_attr_celeba.txt", "w") as file:
        file.write(attributes_text())
    found, *_ = joined(folder_of(tmp_path), tmp_path, labels="memory://anno")
    assert labels_of(found) == EXPECTED
