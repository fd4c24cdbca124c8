"""Workers in processes of their own that take steps together, with shared memory and without."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing

from vae_batch.cluster import team
from vae_batch.models.conv import ConvConfig, ConvVAE
from vae_batch.training import Team
from vae_batch.training.weights import Weights

SIZE, STEPS, CLIP = 3, 4, 5.0


def steps(rank: int, size: int, workers: Team) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Take steps along gradients of which each worker has a share; give what came out, and the norms."""
    torch.manual_seed(0)
    weights = Weights(ConvVAE(ConvConfig(16, 4, 8)).to(memory_format=torch.channels_last), 0.1, 0.9, workers)
    norms = []
    for step in range(1, STEPS + 1):
        drawn = torch.Generator().manual_seed(step)
        shares = torch.randn(SIZE, len(weights.gradient), generator=drawn)
        weights.gradient.copy_(shares.sum(0) if size == 1 else shares[rank])
        workers.add_up(weights.gradient)
        norms.append(weights.clip(CLIP))
        weights.step(step, 0.01)
    return weights.tensors(), norms


def member(rank: int, port: int, one_node: bool, shared: str, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=SIZE)
    team.SHARED = Path(shared)
    workers = team.Workers(rank, SIZE, one_node)
    found = steps(rank, SIZE, workers)
    told = workers.reduce(torch.full((2,), float(rank)))
    torch.save([*found, told, workers._gradients is not None], f"{folder}/{rank}")
    torch.distributed.barrier()  # nobody's memory goes while another saves
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("one_node", "folder", "shared"),
    [(True, "/dev/shm", True), (False, "/dev/shm", False), (True, "/nowhere", False)],
)
def test_a_teams_steps_are_those_of_one(tmp_path: Path, one_node: bool, folder: str, shared: bool) -> None:
    if shared and not Path(folder).is_dir():
        pytest.skip("this system has no /dev/shm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(member, (port, one_node, folder, str(tmp_path)), SIZE)
    wanted, lengths = steps(0, 1, Team())
    results = [torch.load(tmp_path / str(rank)) for rank in range(SIZE)]
    for tensors, norms, told, was_shared in results:
        assert was_shared is shared
        assert norms == pytest.approx(lengths, rel=1e-5) and min(norms) > CLIP
        assert told.tolist() == [3.0, 3.0]
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, wanted[name], rtol=1e-4, atol=1e-6, msg=name)
            assert torch.equal(tensor, results[0][0][name]), name
    assert not list(Path("/dev/shm").glob("vae_batch_*")) if shared else True


def test_without_room_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(team, "SHARED", tmp_path)
    assert Path(team._allocate(4096)).stat().st_size == 4096
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert team._allocate(4096) is None and len(list(tmp_path.iterdir())) == 1
