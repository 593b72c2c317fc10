"""Generator, latent identity, ControlNet and what is restored, on a dozen people. Nothing learns for longer than a
moment: what is tested is that everything fits together, and that it fits the pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0  # noqa: E402

from gpu_worker.minipack import (  # noqa: E402
    codec,
    control,
    data,
    encoders,
    generator,
    geometry,
    latent_identity,
    restore,
    splits,
    text,
)
from gpu_worker.minipack.renderer import vocabulary  # noqa: E402

MOMENT = 1e-4
"""Minutes; a step or two."""


def embed(crops: np.ndarray) -> torch.Tensor:
    """Stands for an encoder: the crops themselves, very small."""
    assert crops.shape[1:] == (112, 112, 3)
    small = F.interpolate(codec.to_tensor(crops), size=(13, 13)).flatten(1)
    return F.normalize(F.pad(small, (0, encoders.SIZE - small.shape[1])), dim=1)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with pictures, codec, embeddings and the looker-on of the generator."""
    folder = tmp_path_factory.mktemp("work")
    quiet: Any = lambda _: None  # noqa: E731
    data.make(folder, only=(splits.GENERATOR, splits.CODEC, splits.WIDE), scale=1e-4, processes=1, log=quiet)
    codec.prepare(folder, log=quiet)
    generator.reference_embeddings(folder, embed)
    latent_identity.train(folder, minutes=MOMENT, log=quiet)
    return folder


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(1)
    return generator.build().eval()


@pytest.fixture(scope="module")
def samples(work: Path) -> generator.Samples:
    return generator.Batches(work).draw(np.random.default_rng(0), 100)


# ------------------------------------------------------------------------------------------------------- samples
def test_faces_lie_where_their_boxes_are(work: Path) -> None:
    boxes, points = geometry.faces(work, splits.GENERATOR)
    assert boxes.shape == (len(points), 4)
    assert points.shape == (len(np.load(work / "generator.npy")), 5, 2)
    assert ((points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])).all()
    assert 0.1 < (boxes[:, 3] - boxes[:, 1]).min() < 0.2 < 0.5 < (boxes[:, 3] - boxes[:, 1]).max() < 0.7


def test_cells_in_faces_count_more() -> None:
    boxes = torch.tensor([[[0.25, 0.25, 0.75, 0.75]], [[0.4, 0.1, 0.55, 0.25]]])
    weight = geometry.weights(boxes, 16, 16, face=1.0, features=0.9)
    assert weight.shape == (2, 1, 16, 16)
    assert torch.allclose(weight.mean((1, 2, 3)), torch.ones(2))
    assert weight[0, 0, 7, 8] > 1.5 * weight[0, 0, 0, 0]
    assert weight[1, 0, 2, 7] > 2.5 * weight[1, 0, 12, 7]


def test_a_small_face_is_no_reference(work: Path) -> None:
    usable, found = generator.may_refer(work), generator.reference_embeddings(work)
    assert 0.5 < usable.float().mean() < 1
    assert torch.equal(found.norm(dim=1) > 0, usable)


def test_samples_leave_parts_out_and_never_refer_to_themselves(work: Path, samples: generator.Samples) -> None:
    lengths, blank = samples.identities.norm(dim=2), samples.blank
    assert samples.latents.shape == (100, 16, 16, 16)
    assert torch.allclose(lengths[lengths > 0], torch.ones(()), atol=1e-5)
    assert not (blank & (lengths > 0)).any()
    assert 0.6 < (lengths > 0).float().mean() < 0.92
    assert 0.03 < np.mean([not caption for caption in samples.captions]) < 0.25
    assert samples.close.any()
    assert not samples.close.all()
    kept = generator.reference_embeddings(work)
    alone = F.cosine_similarity(samples.identities[:, 0], kept[samples.rows])
    assert (alone < 0.9999).all()


def test_captions_are_said_in_known_words_and_are_never_cut(work: Path, samples: generator.Samples) -> None:
    known, rng = set(vocabulary()), np.random.default_rng(2)
    wide = generator.Batches(work).draw_wide(rng, 12)
    pairs = [caption for _ in range(20) for caption in generator.Batches(work).draw_wide(rng, 12).captions]
    assert len(wide.captions) == 12
    for caption in [*samples.captions, *pairs]:
        assert set(caption.replace(",", "").split()) <= known
        assert len(caption.replace(",", "").split()) <= text.MAX_TOKENS - 2
    assert any(" and a" in caption for caption in pairs)


def test_what_is_unusual_is_always_named() -> None:
    rng = np.random.default_rng(3)
    words = text.Wording("man", "old", (), ("happy", "soft light", "medium shot", "ink drawing"))
    said = [words.caption(rng, traits=False) for _ in range(60)]
    assert all("medium shot" in caption and "ink drawing" in caption for caption in said)
    usual = text.Wording("man", "old", (), ("happy", "close-up", "flat drawing"))
    said = [usual.caption(rng, traits=False) for _ in range(60)]
    assert 0.4 < np.mean(["flat drawing" in caption for caption in said]) < 0.95


def test_wide_samples_have_a_region_for_each_person(work: Path) -> None:
    wide = generator.Batches(work).draw_wide(np.random.default_rng(1), 12)
    assert wide.latents.shape == (12, 16, 16, 32)
    assert wide.identities.shape == (12, 2, 512)
    assert wide.regions is not None
    assert wide.regions.shape == (1, 2, 32, 64)
    assert torch.equal(wide.regions.sum(1), torch.ones(1, 32, 64))
    assert wide.regions[0, 0, :, :32].min() == 1
    middles = wide.keypoints.mean(2)[..., 0]
    assert (middles[:, 0] < 1).all()
    assert (middles[:, 1] > 1).all()
    left = wide.weights[0, 0, :, :16]
    assert left.max() > 1.5


# ------------------------------------------------------------------------------------------------------ the model
@torch.no_grad()
def test_it_draws_as_the_pipelines_attention_does(model: Any) -> None:
    """The pipelines use fused attention, and give regions as masks."""
    torch.manual_seed(2)
    z, t = torch.randn(2, 16, 16, 32), torch.tensor([0.3, 0.8])
    words, who = torch.randn(2, 48, text.WIDTH), F.normalize(torch.randn(2, 2, 512), dim=2)
    regions = torch.zeros(1, 2, 32, 64)
    regions[0, 0, :, :32], regions[0, 1, :, 32:] = 1, 1
    net = model["unet"]
    drawn = generator.denoise(net, z, t, words, who, None, regions)
    own = dict(net.attn_processors)
    fused: dict[str, Any] = {}
    for name, processor in own.items():
        if hasattr(processor, "to_k_ip"):
            fused[name] = IPAdapterAttnProcessor2_0(processor.hidden_size, text.WIDTH, num_tokens=processor.num_tokens)
            fused[name].load_state_dict(processor.state_dict())
        else:
            fused[name] = AttnProcessor2_0()
    try:
        net.set_attn_processor(fused)
        assert torch.allclose(drawn, generator.denoise(net, z, t, words, who, None, regions), atol=1e-4)
    finally:
        net.set_attn_processor(own)
    assert not torch.allclose(drawn, generator.denoise(net, z, t, words, who.flip(1), None, regions), atol=1e-4)


@torch.no_grad()
def test_blank_people_leave_no_trace(model: Any) -> None:
    torch.manual_seed(3)
    z, t, words = torch.randn(2, 16, 16, 16), torch.tensor([0.3, 0.8]), torch.randn(2, 48, text.WIDTH)
    a, b = F.normalize(torch.randn(2, 2, 1, 512), dim=3)
    blank = torch.tensor([[True], [False]])
    one, other = (generator.denoise(model["unet"], z, t, words, who, blank) for who in (a, b))
    assert torch.allclose(one[0], other[0], atol=1e-6)
    assert not torch.allclose(one[1], other[1], atol=1e-4)


def test_the_looker_on_minds_who_is_shown_and_not_the_true_picture(work: Path) -> None:
    batches = generator.Batches(work)
    samples, distance = batches.draw(np.random.default_rng(5), 60), generator.FlowLoss(work, "cpu")
    assert distance.network is not None
    noise, t = torch.randn_like(samples.latents), torch.full((60,), 0.3)
    true = noise - samples.latents
    assert float(distance(samples, noise, t, true)) < 1e-3  # bfloat16 rounds
    wrong = noise - samples.latents.roll(11, 0)
    mixed = float(distance(samples, noise, t, wrong))
    distance.network = None
    assert mixed > float(distance(samples, noise, t, wrong)) + 0.1


# ------------------------------------------------------------------------------------------------------ training
def test_training_stops_at_its_minutes_and_goes_on_with_more(work: Path) -> None:
    said: list[str] = []
    (work / "generator.ckpt").unlink(missing_ok=True)
    generator.BATCH["cpu"], before = 4, generator.BATCH["cpu"]
    try:
        generator.train(work, minutes=MOMENT, processes=1, log=said.append)
        first = torch.load(work / "generator.ckpt", weights_only=True)
        generator.train(work, minutes=MOMENT, processes=1, log=said.append)
        assert torch.load(work / "generator.ckpt", weights_only=True)["step"] == first["step"] > 0
        more = first["spent"] / 60 + MOMENT
        generator.train(work, minutes=more, processes=2, log=said.append)
    finally:
        generator.BATCH["cpu"] = before
    after = torch.load(work / "generator.ckpt", weights_only=True)
    assert after["step"] > first["step"]
    assert after["spent"] > first["spent"]
    assert "finished" in said[-1]
    assert sum(p.numel() for p in generator.load(work).parameters()) > 10_000_000


def test_a_controlnet_begins_as_the_generator_and_learns(work: Path, model: Any, samples: generator.Samples) -> None:
    torch.save({"average": model.state_dict()}, work / "generator.ckpt")
    batches, rng = generator.Batches(work), np.random.default_rng(4)
    points = control.keypoints(batches, samples, rng)
    assert 0 < sum(len(at) == 0 for at in points) < 25
    seen = control.images(points)
    assert seen.shape == (100, 3, 256, 256)
    assert seen.max() == 1
    net, z, t = control.build(model), samples.latents[:3], torch.tensor([0.2, 0.5, 0.9])
    with torch.no_grad():
        tokens = control.prompt_tokens(model["unet"], samples.identities[:3])
        down, middle = net(z, t * 1000, tokens, seen[:3], return_dict=False)
    assert tokens.shape == (3, generator.ID_TOKENS, text.WIDTH)
    assert middle.abs().max() == 0
    assert max(part.abs().max() for part in down) == 0
    generator.BATCH["cpu"], before = 4, generator.BATCH["cpu"]
    try:
        control.train(work, minutes=MOMENT, processes=1, log=lambda _: None)
    finally:
        generator.BATCH["cpu"] = before
    assert control.load(work).config.conditioning_embedding_out_channels == control.CHANNELS


def test_places_follow_pose_and_shot() -> None:
    places = {tuple(place["words"]): np.array(place["points"]) for place in control.places(120)}
    assert {(), ("looking left",), ("full shot",), ("looking right", "medium shot")} <= set(places)
    assert all(points.shape == (5, 2) for points in places.values())
    assert places["looking left",][2, 0] < places[()][2, 0] < places["looking right",][2, 0]
    eyes = {words: points[1, 0] - points[0, 0] for words, points in places.items()}
    assert eyes["full shot",] < eyes["medium shot",] < eyes["close-up",]


# ------------------------------------------------------------------------------------------------------- restored
def test_embeddings_are_translated(model: Any) -> None:
    torch.manual_seed(4)
    turn = torch.linalg.qr(torch.randn(512, 512)).Q
    own = F.normalize(torch.randn(3000, 512), dim=1)
    matrix, likeness = restore.translation(own, own @ turn)
    assert likeness > 0.99
    net = generator.build()
    net.load_state_dict(model.state_dict())
    restore.translate(net, matrix)
    with torch.no_grad():
        before = control.prompt_tokens(model["unet"], (own @ matrix)[:5, None])
        assert torch.allclose(control.prompt_tokens(net["unet"], own[:5, None]), before, atol=1e-3)


def test_people_are_paired_with_their_plain_pictures(work: Path) -> None:
    own, theirs = restore.paired(work, embed, embed)
    assert own.shape == theirs.shape
    assert len(own) > 40
    assert torch.allclose(theirs.norm(dim=1), torch.ones(len(theirs)), atol=1e-5)
