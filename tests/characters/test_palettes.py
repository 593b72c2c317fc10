from __future__ import annotations

import pytest

from characters import palettes

# Sharma, Wu and Dalal 2005, table 1: pairs of CIELAB values and their CIEDE2000.
PUBLISHED = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
    ((50.0, -0.001, 2.49), (50.0, 0.0009, -2.49), 4.8045),
    ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "published"), PUBLISHED)
def test_the_difference_is_that_of_the_published_pairs(
    one: palettes.Lab, other: palettes.Lab, published: float
) -> None:
    assert palettes.ciede2000(one, other) == pytest.approx(published, abs=1e-4)
    assert palettes.ciede2000(other, one) == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize(
    ("colour", "lab"),
    [("#ffffff", (100, 0, 0)), ("#000000", (0, 0, 0)), ("#ff0000", (53.24, 80.09, 67.2)), ("#808080", (53.59, 0, 0))],
)
def test_colours_in_cielab(colour: str, lab: palettes.Lab) -> None:
    assert palettes.lab_of(colour) == pytest.approx(lab, abs=0.02)


def test_the_same_palette_agrees_wholly_whatever_its_order() -> None:
    one = [("#aa1e28", 0.7), ("#224488", 0.3)]
    assert palettes.difference(one, one[::-1]) == pytest.approx(0)
    assert palettes.agreement(0) == 100


def test_another_coat_agrees_less_than_the_same_in_other_light() -> None:
    coat, dim, green = [("#aa1e28", 1.0)], [("#8f1c24", 1.0)], [("#1e8a3c", 1.0)]
    near, far = palettes.difference(coat, dim), palettes.difference(coat, green)
    assert near < 10
    assert far > 40
    assert palettes.agreement(near) > 80
    assert palettes.agreement(far) < 20


def test_a_small_share_counts_little() -> None:
    coat = [("#aa1e28", 1.0)]
    buttons = palettes.difference(coat, [("#aa1e28", 0.95), ("#1e8a3c", 0.05)])
    halves = palettes.difference(coat, [("#aa1e28", 0.5), ("#1e8a3c", 0.5)])
    assert buttons < 5 < halves
