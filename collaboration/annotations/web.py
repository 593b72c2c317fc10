"""Annotations as W3C Web Annotations (https://www.w3.org/TR/annotation-model/), to other programs and from them.

Out: a rectangle is a media fragment in percent, every other shape an SVG of one element in a view box of 0 0 1 1, the
image as a whole has no selector. In: the same, pixels too, and what drawing tools write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from django.core.exceptions import ValidationError
from django.utils.html import escape

from collaboration.annotations import mentions, shapes
from collaboration.annotations.models import Annotation
from collaboration.subjects import Target

CONTEXT = "http://www.w3.org/ns/anno.jsonld"
MEDIA_TYPE = f'application/ld+json; profile="{CONTEXT}"'
FRAGMENTS = "http://www.w3.org/TR/media-frags/"
MOTIVATIONS = {Annotation.NOTE: "commenting", Annotation.SUGGESTION: "editing", Annotation.APPROVAL: "assessing"}
_KINDS = {motivation: kind for kind, motivation in MOTIVATIONS.items()}
MOST_AT_ONCE = 200
LONGEST_SVG = 200_000


class NotUnderstood(ValidationError):
    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, code="annotation")


# ------------------------------------------------------------------------------------------------------------ out
def as_web(
    annotation: Annotation, source: str, names: Mapping[int, str], absolute: Callable[[str], str]
) -> dict[str, Any]:
    """One with its `answers`. `source`: address of the image; `absolute` makes an address complete."""
    bodies: list[dict[str, Any]] = []
    if annotation.text:
        words = mentions.plain(annotation.text, names)
        bodies.append(_body(words, MOTIVATIONS[annotation.kind]))
    for answer in annotation.answers:  # type: ignore[attr-defined]
        words = mentions.plain(answer.text, names)
        bodies.append(_body(words, "replying") | _who(answer.author) | {"created": answer.created_at.isoformat()})
    if annotation.resolved_at is not None:
        bodies.append(_body("resolved", "tagging"))
    if annotation.carried_from_id is not None:
        bodies.append(_body("carried over", "tagging"))
    target: dict[str, Any] = {"type": "SpecificResource", "source": source}
    if selector := _selector(annotation):
        target["selector"] = selector
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": absolute(f"/api/v1/annotations/{annotation.pk}/web"),
        "type": "Annotation",
        "motivation": MOTIVATIONS[annotation.kind],
        "created": annotation.created_at.isoformat(),
        "body": bodies,
        "target": target,
    } | _who(annotation.author)
    if annotation.changed_at is not None:
        document["modified"] = annotation.changed_at.isoformat()
    return document


def as_page(annotations: Sequence[dict[str, Any]], id: str) -> dict[str, Any]:
    items = [{key: value for key, value in one.items() if key != "@context"} for one in annotations]
    return {"@context": CONTEXT, "id": id, "type": "AnnotationPage", "items": items}


def _body(words: str, purpose: str) -> dict[str, Any]:
    return {"type": "TextualBody", "value": words, "format": "text/plain", "purpose": purpose}


def _who(person: Any) -> dict[str, Any]:
    return {"creator": {"type": "Person", "name": person.display_name}} if person is not None else {}


def _selector(annotation: Annotation) -> dict[str, Any] | None:
    place = annotation.geometry
    if annotation.shape == shapes.PICTURE:
        return None
    if annotation.shape == shapes.RECTANGLE:
        xywh = ",".join(f"{100 * place[side]:.6g}" for side in ("x", "y", "w", "h"))
        return {"type": "FragmentSelector", "conformsTo": FRAGMENTS, "value": f"xywh=percent:{xywh}"}
    match annotation.shape:
        case shapes.PIN:
            drawn = f'<circle cx="{place["x"]}" cy="{place["y"]}" r="0"/>'
        case shapes.ELLIPSE:
            rx, ry = place["w"] / 2, place["h"] / 2
            middle = f'cx="{place["x"] + rx:.6g}" cy="{place["y"] + ry:.6g}"'
            drawn = f'<ellipse {middle} rx="{rx:.6g}" ry="{ry:.6g}"/>'
        case shapes.ARROW:
            drawn = f'<line x1="{place["x1"]}" y1="{place["y1"]}" x2="{place["x2"]}" y2="{place["y2"]}"/>'
        case shapes.FREEHAND:
            drawn = f'<polyline points="{" ".join(f"{x},{y}" for x, y in place["points"])}"/>'
        case _:
            drawn = f'<text x="{place["x"]}" y="{place["y"]}">{escape(annotation.text[:200])}</text>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">{drawn}</svg>'
    return {"type": "SvgSelector", "value": svg}


# ------------------------------------------------------------------------------------------------------------- in
def read(document: Any, target: Target) -> list[dict[str, Any]]:
    """What a Web Annotation, a page of them, or a list says: keyword arguments of `actions.annotate`, each with
    `answers` (texts) beside. Raises ValidationError."""
    several = document
    if isinstance(document, Mapping) and document.get("type") in ("AnnotationPage", "AnnotationCollection"):
        page = document.get("first") if document["type"] == "AnnotationCollection" else document
        several = page.get("items") if isinstance(page, Mapping) else None
    if isinstance(several, Mapping):
        several = [several]
    if not isinstance(several, list) or not several:
        raise NotUnderstood("Send a Web Annotation, a list of them, or an AnnotationPage with items.")
    if len(several) > MOST_AT_ONCE:
        raise NotUnderstood(f"These are {len(several)} annotations; send at most {MOST_AT_ONCE} at once.")
    return [_read_one(one, target) for one in several]


def _read_one(document: Any, target: Target) -> dict[str, Any]:
    if not isinstance(document, Mapping) or document.get("type") != "Annotation":
        raise NotUnderstood("Each annotation must be an object of the type Annotation.")
    motivations = _several(document.get("motivation"))
    kind = next((_KINDS[m] for m in motivations if isinstance(m, str) and m in _KINDS), Annotation.NOTE)
    text, answers = _words(document)
    place = _several(document.get("target"))
    if len(place) != 1:
        raise NotUnderstood("An annotation here has one target: the image, and where on it.")
    shape, geometry = _place(place[0], target)
    return {"kind": kind, "shape": shape, "geometry": geometry, "text": text, "answers": answers}


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _words(document: Mapping[str, Any]) -> tuple[str, list[str]]:
    """(what is said, the answers to it)."""
    bodies = _several(document.get("body")) or _several(document.get("bodyValue"))
    said: list[str] = []
    answers: list[str] = []
    for body in bodies:
        if isinstance(body, str):
            said.append(body)
            continue
        if not isinstance(body, Mapping) or body.get("type", "TextualBody") != "TextualBody":
            raise NotUnderstood("What is said must be text: a TextualBody with a value.")
        if body.get("format", "text/plain") not in ("text/plain", "text/markdown"):
            raise NotUnderstood(f"Send the text as text/plain, not as {str(body['format'])[:40]}.")
        value = body.get("value")
        if not isinstance(value, str):
            raise NotUnderstood("The value of a TextualBody must be a text.")
        if body.get("purpose") == "replying":
            creator = body.get("creator")
            name = creator.get("name") if isinstance(creator, Mapping) else None
            answers.append(f"{name[:120]}: {value}" if isinstance(name, str) else value)
        elif body.get("purpose") != "tagging":
            said.append(value)
    return "\n".join(said), answers


def _place(place: Any, target: Target) -> tuple[str, dict[str, Any]]:
    source = place if isinstance(place, str) else place.get("source", "") if isinstance(place, Mapping) else None
    source = source.get("id", "") if isinstance(source, Mapping) else source
    if not isinstance(source, str):
        raise NotUnderstood("The target must be the image, or an object with its source and a selector.")
    address, _, fragment = source.partition("#")
    if address and str(target.version) not in address and target.id not in address:
        raise NotUnderstood("The annotation is about another image than the one it was sent to.")
    selectors = _several(place.get("selector")) if isinstance(place, Mapping) else []
    if not selectors:
        return _of_fragment(fragment, target) if fragment else (shapes.PICTURE, {})
    for selector in selectors:
        kind = selector.get("type") if isinstance(selector, Mapping) else None
        if kind == "FragmentSelector":
            return _of_fragment(str(selector.get("value", "")), target)
        if kind == "SvgSelector":
            return _of_svg(str(selector.get("value", "")), target)
        if kind == "PointSelector":
            width, height = _size(target)
            return shapes.PIN, {"x": _number(selector.get("x")) / width, "y": _number(selector.get("y")) / height}
    raise NotUnderstood("The selector must be a FragmentSelector, an SvgSelector or a PointSelector.")


def _size(target: Target) -> tuple[float, float]:
    picture = target.picture() or {}
    if not picture.get("width") or not picture.get("height"):
        raise NotUnderstood("The size of this image is not known. Send places in percent.")
    return float(picture["width"]), float(picture["height"])


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise NotUnderstood(f"{str(value)[:40]!r} is not a number.") from None


def _of_fragment(value: str, target: Target) -> tuple[str, dict[str, Any]]:
    found = re.fullmatch(r"xywh=(?:(percent|pixel):)?([^,]+),([^,]+),([^,]+),([^,]+)", value.strip())
    if found is None:
        raise NotUnderstood("The fragment must read xywh=percent:x,y,w,h, or the same with pixel.")
    x, y, w, h = (_number(part) for part in found.groups()[1:])
    width, height = (100.0, 100.0) if found[1] == "percent" else _size(target)
    if not w and not h:
        return shapes.PIN, {"x": x / width, "y": y / height}
    return shapes.RECTANGLE, {"x": x / width, "y": y / height, "w": w / width, "h": h / height}


_DRAWN = ("rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text")


def _of_svg(value: str, target: Target) -> tuple[str, dict[str, Any]]:
    if len(value) > LONGEST_SVG:
        raise NotUnderstood("The SVG is too long for one shape.")
    if "<!" in value or "<?" in value:
        raise NotUnderstood("The SVG must be one element, without declarations.")
    try:
        root = ElementTree.fromstring(value)  # noqa: S314 - no declarations, so no entities
    except (ElementTree.ParseError, ValueError):
        raise NotUnderstood("The SVG cannot be read.") from None
    elements = [(element.tag.rpartition("}")[2], element) for element in root.iter() if isinstance(element.tag, str)]
    if any("transform" in element.attrib for _, element in elements):
        raise NotUnderstood("The SVG must not transform its shape. Send the places as they are on the image.")
    drawn = [(name, element) for name, element in elements if name in _DRAWN]
    if len(drawn) != 1:
        raise NotUnderstood(f"The SVG must hold one shape, {' or '.join(_DRAWN[:-1])}; it holds {len(drawn)}.")
    left, top, width, height = _view(root, target)
    name, element = drawn[0]

    def across(attribute: str, text: Any = None) -> float:
        return (_number(element.get(attribute, "0") if text is None else text) - left) / width

    def down(attribute: str, text: Any = None) -> float:
        return (_number(element.get(attribute, "0") if text is None else text) - top) / height

    def length(attribute: str, of: float) -> float:
        return _number(element.get(attribute, "0")) / of

    match name:
        case "rect":
            box = {"x": across("x"), "y": down("y"), "w": length("width", width), "h": length("height", height)}
            return shapes.RECTANGLE, box
        case "circle" | "ellipse":
            rx = length("r" if name == "circle" else "rx", width)
            ry = length("r" if name == "circle" else "ry", height)
            if not rx and not ry:
                return shapes.PIN, {"x": across("cx"), "y": down("cy")}
            return shapes.ELLIPSE, {"x": across("cx") - rx, "y": down("cy") - ry, "w": 2 * rx, "h": 2 * ry}
        case "line":
            return shapes.ARROW, {"x1": across("x1"), "y1": down("y1"), "x2": across("x2"), "y2": down("y2")}
        case "text":
            return shapes.TEXT, {"x": across("x"), "y": down("y")}
    numbers = _path(element.get("d", "")) if name == "path" else re.split(r"[\s,]+", element.get("points", "").strip())
    if len(numbers) % 2 or len(numbers) > 2 * shapes.MOST_POINTS:
        raise NotUnderstood(f"The line must have at most {shapes.MOST_POINTS:,} points of two numbers each.")
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    points = [[across("", x), down("", y)] for x, y in pairs]
    if points and (name == "polygon" or element.get("d", "").strip()[-1:] in ("Z", "z")):
        points.append(points[0])
    return shapes.FREEHAND, {"points": points}


def _path(drawn: str) -> list[str]:
    """The numbers of a path of straight lines in absolute places. Raises NotUnderstood for any other."""
    if not re.fullmatch(r"\s*M[^A-DF-LN-Za-df-z]+(?:L[^A-DF-Za-df-z]+)*[Zz]?\s*", drawn):
        raise NotUnderstood("A path must be of straight lines (M and L). Send curves as a polyline.")
    return [part for part in re.split(r"[\sMLZz,]+", drawn) if part]


def _view(root: Any, target: Target) -> tuple[float, float, float, float]:
    """(left, top, width, height) of what the SVG calls the image: its view box, else pixels."""
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    if box == [""]:
        return 0.0, 0.0, *_size(target)
    if len(box) != 4:
        raise NotUnderstood("The viewBox must be four numbers.")
    left, top, width, height = map(_number, box)
    if not width > 0 or not height > 0:
        raise NotUnderstood("The viewBox must have a width and a height.")
    return left, top, width, height
