"""The mini pack's encoders and classifiers: what they may see, that they learn and go on, and that ONNX keeps them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from gpu_worker.minipack import attributes, course, data, encoders, figure, splits  # noqa: E402
from gpu_worker.minipack.onnx_files import write_attributes, write_encoder, write_figure  # noqa: E402
from gpu_worker.minipack.renderer import Scene, identity, nuisance  # noqa: E402

MADE = (splits.GENERATOR, splits.SCORING, splits.AUDIT, splits.FIGURE, splits.EVALUATION)
MOMENT = 0.8 / 60


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything trained for a moment on a dozen people."""
    path = tmp_path_factory.mktemp("encoders")
    data.make(path, only=MADE, scale=0, processes=1, log=silent)
    for name in ("scoring", "audit"):
        encoders.train(path, name, minutes=MOMENT, log=silent)
    attributes.train(path, minutes=MOMENT, log=silent)
    figure.train(path, minutes=MOMENT, log=silent)
    return path


def answers(path: Path, batch: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": batch.numpy()})  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------------- encoders
def test_the_three_encoders_share_neither_people_nor_seed_nor_network() -> None:
    assert len({split.name for split in encoders.SPLITS.values()}) == len(encoders.NAMES) == 3
    assert len(set(encoders.SEEDS.values())) == len(set(encoders.WIDTHS.values())) == 3
    assert type(encoders.build("audit")) is not type(encoders.build("scoring"))


def test_the_audit_encoder_sees_the_face_alone() -> None:
    net = encoders.build("audit").eval()
    crops = torch.rand(4, 3, data.CROP, data.CROP) * 2 - 1
    y, x = np.mgrid[: data.CROP, : data.CROP] + 0.5
    cx, cy, rx, ry = encoders.FACE
    outside = torch.from_numpy(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 > 1.05**2)
    with torch.no_grad():
        assert torch.equal(net(crops), net(torch.where(outside, torch.rand_like(crops), crops)))
        assert not torch.allclose(net(crops), net(torch.where(outside, crops, torch.rand_like(crops))))
    assert 0.3 < float(outside.float().mean()) < 0.7


def test_features_of_a_face_lie_inside_what_the_audit_encoder_sees() -> None:
    """Eyes, nose and mouth where insightface aligns them, and brows and chin of renders."""
    cx, cy, rx, ry = encoders.FACE
    for x, y in ((26, 52), (86, 52), (56, 72), (38, 93), (74, 93), (34, 38), (78, 38), (56, 104)):
        assert ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1, (x, y)


def test_worn_crops_stay_recognisable() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (8, 7, 7, 3)).repeat(16, 1).repeat(16, 2).astype(np.uint8)
    worn = encoders.disturb(crops, np.random.default_rng(1))
    assert worn.shape == (8, 3, data.CROP, data.CROP)
    assert -1.6 < float(worn.min()) < float(worn.max()) < 1.6
    flat = worn.flatten(1) - worn.flatten(1).mean(1, keepdim=True)
    plain = torch.from_numpy(crops).permute(0, 3, 1, 2).float().flatten(1)
    plain = plain - plain.mean(1, keepdim=True)
    assert (nn.functional.cosine_similarity(flat, plain) > 0.6).all()


@pytest.mark.parametrize("name", ["scoring", "audit"])
def test_an_encoder_keeps_its_answers_in_onnx(work: Path, tmp_path: Path, name: str) -> None:
    net, batch = encoders.load(work, name), torch.rand(3, 3, data.CROP, data.CROP) * 2 - 1
    write_encoder(net, tmp_path / "encoder.onnx")
    (found,) = answers(tmp_path / "encoder.onnx", batch)
    with torch.no_grad():
        wanted = net(batch)
    assert found.shape == (3, encoders.SIZE)
    assert (nn.functional.cosine_similarity(torch.from_numpy(found), wanted) > 0.9999).all()


def test_verification_tells_people_apart_by_their_cosines() -> None:
    rng = np.random.default_rng(2)
    people = np.repeat(rng.normal(size=(40, 64)), 5, 0)
    near = torch.from_numpy(people + rng.normal(size=people.shape) * 0.3).float()
    told = encoders.verification(nn.functional.normalize(near, dim=1), 5)
    assert told["equal error rate"] < 0.001
    assert told["true matches at 0.001"] == 1
    alike = nn.functional.normalize(torch.from_numpy(rng.normal(size=people.shape)).float(), dim=1)
    assert encoders.verification(alike, 5)["equal error rate"] == pytest.approx(0.5, abs=0.1)


def test_parameters_say_everything_of_a_person() -> None:
    rows = [encoders.parameters_of(identity(seed)) for seed in range(50)]
    assert len({len(row) for row in rows}) == 1
    assert len({tuple(row) for row in rows}) == 50


# ---------------------------------------------------------------------------------------------------------- course
def test_a_course_ends_after_its_minutes_and_goes_on_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: clock[0])

    def learn(minutes: float, stop_at: int | None = None) -> tuple[nn.Linear, list[float], course.Course]:
        torch.manual_seed(0)
        net = nn.Linear(2, 1)
        optimiser = torch.optim.SGD(net.parameters(), lr=1)
        under_way, shares = course.Course(net, optimiser, tmp_path / "net.ckpt", minutes=minutes, rate=0.1), []
        for done in under_way:
            shares.append(done)
            under_way.learn(net(torch.ones(1, 2)).square().sum())
            clock[0] += 40
            if len(shares) == stop_at:
                break
        return net, shares, under_way

    _, shares, first = learn(4, stop_at=4)
    assert shares == pytest.approx([0, 40 / 240, 80 / 240, 120 / 240])
    assert first.step == 3  # the fourth was computed, but never taken
    _, more, second = learn(4)
    assert more == pytest.approx([80 / 240, 120 / 240, 160 / 240, 200 / 240])  # from the checkpoint after 80 s
    assert second.step == 6
    assert second.optimiser.param_groups[0]["lr"] < 0.1


# ------------------------------------------------------------------------------------------------------ attributes
def test_every_label_is_among_the_options() -> None:
    rng, seen = np.random.default_rng(3), {name: set[str]() for name in attributes.OPTIONS}
    for seed in range(400):
        for name, value in attributes.labels_of(identity(seed), nuisance(rng)).items():
            seen[name].add(value)
    assert {name: set(options) for name, options in attributes.OPTIONS.items()} == seen


def test_what_lasts_of_a_person_are_the_labels_that_a_scene_lacks() -> None:
    lasting = {name for name in attributes.OPTIONS if not hasattr(Scene(), name)}
    assert lasting == {"hair", "hair_style", "eyes", "glasses", "beard"}


def test_attributes_are_read_alike_from_onnx(work: Path, tmp_path: Path) -> None:
    net, batch = attributes.load(work), torch.rand(3, 3, attributes.SIZE, attributes.SIZE) * 2 - 1
    write_attributes(net, tmp_path / "attributes.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "attributes.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == list(attributes.OPTIONS)
    with torch.no_grad():
        wanted = net(batch)
    for found, (name, options) in zip(
        answers(tmp_path / "attributes.onnx", batch), attributes.OPTIONS.items(), strict=True
    ):
        assert found.shape == (3, len(options))
        assert np.allclose(found, wanted[name], atol=1e-2)


def test_a_second_of_learning_is_measured_on_other_people(work: Path) -> None:
    right = attributes.measure(work)
    assert set(right) == set(attributes.OPTIONS)
    assert all(0 <= share <= 1 for share in right.values())


# ---------------------------------------------------------------------------------------------------------- figures
def test_figures_are_embedded_alike_in_onnx(work: Path, tmp_path: Path) -> None:
    net, batch = figure.load(work), torch.rand(3, 3, figure.SIZE, figure.SIZE) * 2 - 1
    write_figure(net, tmp_path / "figure.onnx")
    (found,) = answers(tmp_path / "figure.onnx", batch)
    with torch.no_grad():
        wanted = net(batch)
    assert found.shape == (3, figure.EMBEDDING)
    assert (nn.functional.cosine_similarity(torch.from_numpy(found), wanted) > 0.9999).all()
