"""Enough of a document to do to a page what static/js/live-swap.js does, and to compare it with the page anew."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
# What differs between two renderings of one state: tokens, numbers of the log, how eagerly a picture loads.
UNTOLD = frozenset(
    ("hx-headers", "data-live", "data-live-seq", "loading", "fetchpriority", "decoding", "data-refresh-url", "hx-get")
)
TOKENS = frozenset(("csrfmiddlewaretoken", "idempotency_key"))


class Node:
    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes = name, attributes
        self.children: list[Node | str] = []
        self.parent: Node | None = None

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def find(self, id: str) -> Node | None:
        return next((node for node in self.walk() if node.id == id), None)

    def remove(self) -> None:
        assert self.parent is not None
        self.parent.children.remove(self)

    def replace(self, new: list[Node | str]) -> None:
        assert self.parent is not None
        place = self.parent.children.index(self)
        self.parent.children[place : place + 1] = new
        for node in new:
            if isinstance(node, Node):
                node.parent = self.parent

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The canonical text, one line for each tag or text."""
        a = self.attributes
        if "data-live-keep" in a or a.get("name") in TOKENS or self.name == "script":
            return
        told = " ".join(f"{k}={v!r}" for k, v in sorted(a.items()) if k not in UNTOLD)
        yield f"{'  ' * depth}<{self.name} {told}>"
        if a.get("id", "").startswith("mine-") or a.get("id") == "toasts":
            return
        for child in self.children:
            if isinstance(child, Node):
                yield from child.lines(depth + 1)
            elif text := " ".join(child.split()):
                yield f"{'  ' * (depth + 1)}{text}"


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Node("#root", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {k: v or "" for k, v in attrs})
        node.parent = self.here
        self.here.children.append(node)
        if tag not in VOID:
            self.here = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {k: v or "" for k, v in attrs})
        node.parent = self.here
        self.here.children.append(node)

    def handle_endtag(self, tag: str) -> None:
        there: Node | None = self.here
        while there is not None and there.name != tag:
            there = there.parent
        if there is not None and there.parent is not None:
            self.here = there.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def parse(html: str) -> Node:
    parser = _Parser()
    parser.feed(html)
    return parser.root


def apply(page: Node, swap: dict[str, str], fresh: Node) -> None:
    """Carry out one swap; what the page would ask the server for is taken from `fresh`."""
    how, target = swap["how"], page.find(swap["target"])
    if how == "refresh":
        regions = [n for n in page.walk() if "data-live" in n.attributes and n.name != "body" and n.id]
        for region in regions if swap["target"] == "*" else [target] if target else []:
            _take(region, fresh)
        return
    if how == "refetch":
        if target is not None:
            _take(target, fresh)
        return
    content = [c for c in parse(swap["html"]).children if isinstance(c, Node)]
    if how == "delete" or (how == "outerHTML" and not content):
        if target is not None:
            target.remove()
    elif how in ("beforeend", "afterbegin"):
        _insert(page, target, content, how)
    elif target is not None and how == "outerHTML":
        target.replace(list(content[:1]))
        for beside in content[1:]:
            if there := page.find(beside.id):
                there.replace([beside])
    elif target is not None:
        target.children = list(parse(swap["html"]).children)
        for child in target.children:
            if isinstance(child, Node):
                child.parent = target


def _insert(page: Node, target: Node | None, content: list[Node], how: str) -> None:
    if not content:
        return
    one = content[0]
    known = page.find(one.id) if one.id else None
    if known is not None and (how == "beforeend" or target is None or known.parent is not target):
        known.replace([one])
        return
    if known is not None:
        known.remove()
    if target is not None:
        one.parent = target
        target.children.insert(0 if how == "afterbegin" else len(target.children), one)


def _take(old: Node, fresh: Node) -> None:
    new = fresh.find(old.id)
    if new is None:
        old.remove()
    else:
        old.replace([new])
