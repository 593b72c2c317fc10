"""Tell what a file is from its content; its name is never asked."""

from __future__ import annotations

import re
from collections.abc import Callable

from assets.containers import gif, isobmff, jpeg, png, tiff, webp
from assets.containers.container import Container
from assets.errors import IntakeError

_PICTURES: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Container]], ...] = (
    (lambda d: d.startswith(png.SIGNATURE), png.read),
    (lambda d: d.startswith(b"\xff\xd8\xff"), jpeg.read),
    (lambda d: d[:4] == b"RIFF" and d[8:12] == b"WEBP", webp.read),
    (lambda d: d[:6] in (b"GIF87a", b"GIF89a"), gif.read),
    (lambda d: d[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), tiff.read),
    (isobmff.is_picture, isobmff.read),
)

_READABLE = "PNG, JPEG, WebP, TIFF, HEIC, AVIF or GIF"
_OTHERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), code, sentence)
    for pattern, code, sentence in (
        (rb"%PDF-", "pdf", "This is a PDF document, not a picture we can read. Export the page as PNG."),
        (rb"%!PS", "pdf", "This is a PostScript file, not a picture we can read. Export it as PNG."),
        (rb"8BPS", "unsupported", "This is a Photoshop document. Export it as PNG or TIFF."),
        (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "unsupported", "This is a BMP picture. Save it as PNG."),
        (
            rb"\x76\x2f\x31\x01",
            "unsupported",
            "This is an OpenEXR picture with floating-point light values. Export it as 16-bit PNG or TIFF in sRGB.",
        ),
        (
            rb"#\?(RADIANCE|RGBE)",
            "unsupported",
            "This is a Radiance HDR picture. Export it as 16-bit PNG or TIFF in sRGB.",
        ),
        (rb"SDPX|XPDS", "unsupported", "This is a DPX film scan. Export the frame as 16-bit TIFF in sRGB."),
        (
            rb"(\xff\x0a|\0\0\0\x0cJXL )",
            "unsupported",
            "This is a JPEG XL picture, which we cannot read yet. Save it as PNG or JPEG.",
        ),
        (
            rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51)",
            "unsupported",
            "This is a JPEG 2000 picture, which we cannot read. Save it as PNG or TIFF.",
        ),
        (rb"\0\0\x01\0[\x01-\x40]\0", "unsupported", "This is an icon file. Save the picture as PNG."),
        (
            rb"(FUJIFILMCCD-RAW|IIU\0|IIRO|\0MRM)",
            "raw",
            "This is a camera raw file. Develop it and export it as JPEG, PNG or TIFF.",
        ),
        (rb"....ftypcrx ", "raw", "This is a camera raw file. Develop it and export it as JPEG, PNG or TIFF."),
        (
            rb"(....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]|OggS|FLV\x01)",
            "video",
            "This is a video. Export one frame of it as PNG.",
        ),
        (
            rb"(PK\x03\x04|PK\x05\x06|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd)",
            "archive",
            "This is an archive. Unpack it and upload the pictures in it.",
        ),
    )
)
_HEAD = 4096


def open_container(data: bytes) -> Container:
    """Read the structure of a picture file.

    Raises IntakeError for what is no picture (by what it is), and for a picture whose structure is broken.
    """
    for matches, read in _PICTURES:
        if matches(data):
            return read(data)
    for pattern, code, sentence in _OTHERS:
        if pattern.match(data):
            raise IntakeError(code, sentence)
    raise _text_or_unknown(data[:_HEAD])


def _text_or_unknown(head: bytes) -> IntakeError:
    text = _as_text(head)
    if text is None:
        return IntakeError("not_a_picture", f"This is not a picture in a format we can read ({_READABLE}).")
    tag = _first_tag(text)
    if tag == "svg" or (tag and tag not in _HTML_TAGS and "<svg" in text.lower()):
        return IntakeError("svg", "This is an SVG drawing, not a picture we can read. Export it as PNG.")
    if tag in _HTML_TAGS:
        return IntakeError("html", "This is a web page, not a picture. Save the picture itself and upload that file.")
    if text.startswith("version https://git-lfs"):
        return IntakeError(
            "text", "This is a Git LFS pointer, not the picture itself. Run git lfs pull and upload the file again."
        )
    return IntakeError("text", f"This is a text file, whatever its name says. Upload a picture ({_READABLE}).")


_HTML_TAGS = {"html", "head", "body", "script", "div", "p", "a", "img", "table", "meta", "title"}


def _first_tag(text: str) -> str:
    """Return the first element's name in lower case, behind XML declarations, comments and document types."""
    position = 0
    for _ in range(100):
        start = text.find("<", position)
        if start < 0 or text[position:start].strip():
            return ""
        for opening, closing in (("<!--", "-->"), ("<?", "?>"), ("<!", ">")):
            if text.startswith(opening, start):
                if named := re.match(r"<!doctype\s+(svg|html)", text[start : start + 40], re.IGNORECASE):
                    return named[1].lower()
                end = text.find(closing, start)
                if end < 0:
                    return ""
                position = end + len(closing)
                break
        else:
            named = re.match(r"<\s*(?:[\w.-]+:)?([\w-]+)", text[start : start + 200])
            return named[1].lower() if named else ""
    return ""


def _as_text(head: bytes) -> str | None:
    """Return the start of a file as text, or None when it is not text."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace")
    if any(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head):
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut in two by the end of the window is still text.
        if error.start >= len(head) - 3:
            return head[: error.start].decode("utf-8")
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
    return head.decode("latin-1") if printable >= 0.9 * len(head) else None
