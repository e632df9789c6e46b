"""Pictures decoded ahead of the network, here and in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from data_builders import pictures, refused
from PIL import Image

from robustbench_msda.data.loading import Loader, Request
from robustbench_msda.data.resized import cut_file
from robustbench_msda.engines.local import cores
from robustbench_msda.errors import DamagedData, UserError

SIDE = 12
SCALE = (0.3, 1.0)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{k}.JPEG" for k in range(7)]
    for k, path in enumerate(found):
        Image.fromarray(pictures(1, 50, k)[0]).resize((40 + k, 60 - k)).save(path)
    return found


def batches(paths: list[Path], seed: int = 0, n: int = 6) -> list[list[Request]]:
    """Return batches of three pictures, and a last one of two."""
    rng = np.random.default_rng(seed)
    return [
        [
            Request(str(paths[k]), rng.random((10, 4)), bool(rng.random() < 0.5), SCALE)
            for k in rng.permutation(7)[:size]
        ]
        for size in (*[3] * (n - 1), 2)
    ]


def expected(requests: list[Request]) -> torch.Tensor:
    return torch.from_numpy(np.stack([cut_file(Path(each.path), *each[1:], SIDE) for each in requests]))


def check(loader: Loader, requests: list[list[Request]]) -> None:
    found = list(loader.epoch(requests))
    assert [images.shape for images in found] == [(len(batch), SIDE, SIDE, 3) for batch in requests]
    assert {images.dtype for images in found} == {torch.uint8}
    for images, batch in zip(found, requests, strict=True):
        assert torch.equal(images, expected(batch))


def test_in_this_process(paths: list[Path]) -> None:
    loader = Loader(SIDE, 0)
    for seed in range(2):
        check(loader, batches(paths, seed))
    assert list(loader.epoch([])) == []
    loader.close()
    with pytest.raises(ValueError, match="closed"):
        list(loader.epoch([]))


def test_chance_of_the_process_is_left_alone(paths: list[Path]) -> None:
    before = torch.random.get_rng_state()
    check(Loader(SIDE, 0), batches(paths))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_process_a_core_but_one_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    monkeypatch.setattr(
        "robustbench_msda.data.loading.DataLoader", lambda *_, num_workers, **__: found.append(num_workers)
    )
    for workers in (-1, 0, 3):
        Loader(SIDE, workers)
    assert found == [cores() - 1, 0, 3]
    with pytest.raises(ValueError, match="expected workers of at least -1, got -2"):
        Loader(SIDE, -2)


def test_what_fails_in_making_requests_is_not_blamed_on_workers() -> None:
    def failing() -> Iterator[list[Request]]:
        yield from ()
        raise RuntimeError("no draws")

    with pytest.raises(RuntimeError, match="no draws"):
        list(Loader(SIDE, 0).epoch(failing()))


@pytest.fixture(scope="module")
def processes() -> Iterator[Loader]:
    """One loader of two processes for all tests, since they take seconds to start."""
    loader = Loader(SIDE, 2)
    yield loader
    loader.close()


def children() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def test_processes_give_the_same_in_the_same_order_epoch_after_epoch(paths: list[Path], processes: Loader) -> None:
    before = torch.random.get_rng_state()
    check(processes, batches(paths, 0))
    workers = children()
    broken_off = processes.epoch(batches(paths, 1, n=20))
    assert torch.equal(next(broken_off), expected(batches(paths, 1, n=20)[0]))
    broken_off.close()
    check(processes, batches(paths, 2))
    assert len(workers) == 2
    assert children() == workers
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("here", [True, False])
def test_a_damaged_picture_is_named_in_one_line_in_its_turn(paths: list[Path], processes: Loader, here: bool) -> None:
    loader, damaged = Loader(SIDE, 0) if here else processes, paths[0].with_name("x.JPEG")
    damaged.write_bytes(b"no picture")
    sound = batches(paths)
    requests = [list(batch) for batch in sound]
    requests[3][1] = requests[3][1]._replace(path=str(damaged))
    found = loader.epoch(requests)
    for batch in sound[:3]:
        assert torch.equal(next(found), expected(batch))
    with refused(DamagedData, f"{damaged}: expected a picture (not recognised); get it again"):
        next(found)
    check(loader, sound)


def test_close_ends_the_processes_in_the_midst_of_an_epoch(paths: list[Path], processes: Loader) -> None:
    # The last test that uses them: tests run in the order of the file.
    found = processes.epoch(batches(paths, n=20))
    next(found)
    assert len(children()) == 2
    processes.close()
    assert children() == set()
    processes.close()


def test_a_worker_that_is_killed_is_told_in_one_line(paths: list[Path]) -> None:
    others = children()
    loader = Loader(SIDE, 1)
    found = loader.epoch(batches(paths, n=50))
    next(found)
    (worker,) = children() - others
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    with refused(UserError, "decoding pictures: a worker ended (", "use fewer workers"):
        list(found)
    loader.close()
