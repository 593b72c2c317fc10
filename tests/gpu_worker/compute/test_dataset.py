from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from gpu_worker.trainers.dataset import Cached, Order, bucket_for, buckets, fit


@pytest.mark.parametrize(("resolution", "multiple"), [(128, 32), (512, 64), (768, 64), (64, 16), (100, 32)])
def test_buckets_keep_area_and_multiples(resolution: int, multiple: int) -> None:
    sizes = buckets(resolution, multiple)
    side = resolution // multiple * multiple
    assert (side, side) in sizes
    for width, height in sizes:
        assert width % multiple == height % multiple == 0
        assert width * height <= resolution**2
        assert 0.5 <= width / height <= 2
        assert (height, width) in sizes


@pytest.mark.parametrize(
    ("picture", "size"),
    [((500, 500), (512, 512)), ((600, 800), (448, 576)), ((800, 600), (576, 448)), ((100, 3000), (384, 640))],
)
def test_a_picture_goes_where_its_shape_is_nearest(picture: tuple[int, int], size: tuple[int, int]) -> None:
    assert bucket_for(*picture, buckets(512, 64)) == size


def test_fitting_covers_and_cuts_the_middle() -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 255
    fitted = fit(pixels, (32, 32))
    assert fitted.shape == (3, 32, 32)
    assert fitted.min() > 0.9  # only the white middle third is left
    dark = fit(pixels, (96, 32))
    assert dark[:, :, :28].max() < -0.9
    assert dark[:, :, 36:60].min() > 0.9


def items(*sizes: tuple[int, int]) -> list[Cached]:
    return [Cached(size, torch.zeros(1), None, "", None) for size in sizes]


def test_every_picture_is_seen_as_often() -> None:
    order = Order(items((1, 1), (1, 1), (1, 1), (1, 1), (1, 1)), batch_size=2, seed=3)
    seen = Counter(k for _ in range(50) for k in order.draw())
    assert set(seen.values()) == {20}


def test_a_batch_is_of_one_bucket_and_a_bucket_has_its_share() -> None:
    pictures = items((1, 1), (2, 1), (2, 1), (2, 1))
    order = Order(pictures, batch_size=3, seed=0)
    batches = [order.draw() for _ in range(400)]
    assert all(len({pictures[k].bucket for k in batch}) == 1 for batch in batches)
    assert 60 < sum(batch == [0, 0, 0] for batch in batches) < 140


def test_the_order_can_be_taken_up_anywhere() -> None:
    import json

    pictures = items(*[(1, 1)] * 5, *[(2, 1)] * 4)
    order, again = Order(pictures, 3, seed=5), Order(pictures, 3, seed=99)
    for _ in range(7):
        order.draw()
    again.state = json.loads(json.dumps(order.state))
    assert [order.draw() for _ in range(30)] == [again.draw() for _ in range(30)]
    assert order.rng.random() == again.rng.random()


def test_another_seed_is_another_order() -> None:
    draws = [
        [tuple(order.draw()) for _ in range(10)] for order in (Order(items(*[(1, 1)] * 9), 3, seed=s) for s in (1, 2))
    ]
    assert draws[0] != draws[1]
