"""Gradients added up by processes of their own, through shared memory and without."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing

from vae_batch.cluster import sums

NUMBERS, SIZE = 1003, 3


def member(rank: int, port: int, one_node: bool, shared: str, folder: str) -> None:
    """Add up twice, a vector and another tensor; leave what came out, and whether memory was shared."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=SIZE)
    sums.SHARED = Path(shared)
    mine = sums.Sums(rank, SIZE, one_node)
    vector = mine.vector(NUMBERS, torch.device("cpu"))
    assert vector.shape == (NUMBERS,) and not vector.any()
    found = []
    for step in range(2):
        vector.copy_(values(rank, step))
        found += [mine.reduce(vector).clone(), mine.reduce(torch.full((2,), float(rank)))]
    torch.save([found, mine._rows is not None], f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def values(rank: int, step: int) -> torch.Tensor:
    return torch.randn(NUMBERS, generator=torch.Generator().manual_seed(10 * rank + step))


@pytest.mark.parametrize(
    ("one_node", "folder", "shared"),
    [(True, "/dev/shm", True), (False, "/dev/shm", False), (True, "/nowhere", False)],
)
def test_the_sum_is_the_sum(tmp_path: Path, one_node: bool, folder: str, shared: bool) -> None:
    if shared and not Path(folder).is_dir():
        pytest.skip("this system has no /dev/shm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(member, (port, one_node, folder, str(tmp_path)), SIZE)
    results = [torch.load(tmp_path / str(rank)) for rank in range(SIZE)]
    for found, was_shared in results:
        assert was_shared is shared
        for step in range(2):
            torch.testing.assert_close(found[2 * step], sum(values(rank, step) for rank in range(SIZE)))
            assert found[2 * step + 1].tolist() == [3.0, 3.0]
            assert torch.equal(found[2 * step], results[0][0][2 * step])
    assert not list(Path("/dev/shm").glob("vae_batch_*")) if shared else True


def test_without_room_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sums, "SHARED", tmp_path)
    assert Path(sums._allocate(4096)).stat().st_size == 4096
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert sums._allocate(4096) is None and len(list(tmp_path.iterdir())) == 1
