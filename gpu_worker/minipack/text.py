"""The word-level text encoder: tokenizer, model, and the captions the generator is trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from .renderer import PLACEHOLDER, Identity, Placed, Scene, scene_words, traits_in_words, vocabulary
from .renderer.scene import DRAWINGS, POSES, SHOTS
from .renderer.words import SYNONYMS, with_article

MAX_TOKENS = 48
WIDTH = 128
PAD, BEGIN, END = "[PAD]", "[BOS]", "[EOS]"


def token_ids() -> dict[str, int]:
    return {PAD: 0, BEGIN: 1, END: 2, **{word: k + 3 for k, word in enumerate(vocabulary())}}


def tokenizer() -> PreTrainedTokenizerFast:
    """Lower case, one token a word; unknown words become padding, which says nothing."""
    core = Tokenizer(models.WordLevel(token_ids(), unk_token=PAD))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^a-z\-]+"), "removed")
    core.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, 1), (END, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=PAD,
        model_max_length=MAX_TOKENS,
    )


def text_model() -> CLIPTextModel:
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(token_ids()),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    model.set_attn_implementation("eager")  # where a CPU trains in bfloat16, faster than the fused one
    return model


class Tokens:
    """The same ids as `tokenizer` gives, fast enough for a training loop."""

    def __init__(self) -> None:
        self.ids = token_ids()

    def __call__(self, captions: list[str]) -> torch.Tensor:
        """Token ids, int64 [N, MAX_TOKENS]."""
        out = torch.zeros(len(captions), MAX_TOKENS, dtype=torch.long)
        for k, caption in enumerate(captions):
            found = [self.ids.get(word, 0) for word in re.findall(r"[a-z\-]+", caption.lower())]
            row = [1, *found[: MAX_TOKENS - 2], 2]
            out[k, : len(row)] = torch.tensor(row)
        return out


@dataclass(frozen=True, slots=True)
class Wording:
    """The parts of one picture's captions."""

    noun: str
    age: str
    traits: tuple[str, ...]
    scene: tuple[str, ...]

    @classmethod
    def of(cls, person: Identity, scene: Scene) -> Wording:
        return cls(person.noun, person.age, tuple(traits_in_words(person)), tuple(scene_words(scene)))

    def caption(self, rng: np.random.Generator, *, traits: bool) -> str:
        """A caption as people might write it: parts left out, in another order, in other words."""
        noun = self.noun if rng.random() < 0.85 else "person"
        if rng.random() < 0.06:
            noun = f"{PLACEHOLDER} {noun}"
        head = "picture" if rng.random() < 0.08 else "portrait"
        head = f"{head} of {with_article(f'{self.age} {noun}' if traits and rng.random() < 0.9 else noun)}"
        kept = [trait for trait in self.traits if rng.random() < 0.85] if traits else []
        if kept and rng.random() < 0.7:
            head, kept = f"{head} with {kept[0]}", kept[1:]
        scene = [_reworded(part, rng) for part in self.scene if _is_said(part, rng)]
        if rng.random() < 0.25:
            scene = [scene[k] for k in rng.permutation(len(scene))]
        return ", ".join([head, *kept, *scene])

    def clause(self, rng: np.random.Generator, *, traits: bool) -> str:
        """One of several people, with what is theirs: `a happy woman wearing a red hoodie, looking left`."""
        noun, said = self.noun if rng.random() < 0.85 else "person", self.scene
        expression = f"{_reworded(said[0], rng)} " if rng.random() < 0.85 else ""
        kept = [trait for trait in self.traits[:2] if rng.random() < 0.7] if traits else []
        parts = [with_article(f"{expression}{noun}"), *([f"with {kept[0]}"] if kept else [])]
        parts += [said[1]] if rng.random() < 0.85 else []
        turned = [part for part in said if part in POSES and rng.random() < 0.7]
        return ", ".join([" ".join(parts), *kept[1:], *turned])


@dataclass(frozen=True, slots=True)
class PairWording:
    """The parts of a caption of two people side by side, left one first."""

    people: tuple[Wording, ...]
    shared: tuple[str, ...]
    """Place, light, shot and drawing."""

    @classmethod
    def of(cls, people: Sequence[Placed], background: Scene) -> PairWording:
        own = tuple(Wording.of(one.person, one.scene) for one in people)
        return cls(own, tuple(part for part in scene_words(background)[2:] if part not in POSES))

    def caption(self, rng: np.random.Generator, *, traits: bool) -> str:
        """`portrait of a happy woman wearing a red hoodie and an angry man wearing a blue suit, park background, soft
        light, medium shot, ink drawing`; or first both people, then what each does, in their order."""
        head = "picture" if rng.random() < 0.08 else "portrait"
        shared = [_reworded(part, rng) for part in self.shared if _is_said(part, rng)]
        if rng.random() < 0.6:
            who = [" and ".join(one.clause(rng, traits=traits) for one in self.people)]
        else:
            nouns = " and ".join(with_article(one.noun) for one in self.people)
            who = [nouns, *(part for one in self.people for part in one.scene[:2] if rng.random() < 0.9)]
        return ", ".join([f"{head} of {who[0]}", *who[1:], *shared])


_USUAL = (SHOTS[0], f"{DRAWINGS[0]} drawing")


def _is_said(part: str, rng: np.random.Generator) -> bool:
    """Parts are left out now and then; of shots and drawings only the usual ones are, so that a prompt that names none
    means those."""
    if part in SHOTS or part.endswith(" drawing"):
        return part not in _USUAL or bool(rng.random() < 0.7)
    return bool(rng.random() < 0.93)


def _reworded(part: str, rng: np.random.Generator) -> str:
    if part in SYNONYMS and rng.random() < 0.15:
        return SYNONYMS[part]
    if part.endswith(" background") and rng.random() < 0.1:
        return f"in the {part.removesuffix(' background')}"
    return part
