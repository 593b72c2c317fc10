"""Every kind of pixel to 8-bit sRGB, honouring colour profiles."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from assets.containers import Container
from assets.errors import IntakeError

NEUTRAL_GREY = (119, 119, 119)
"""CIE L* 50: what stands behind transparent pixels when a model looks at a picture."""

_ROWS = 512
"""16-bit rows are scaled in strips, so the working copy stays small."""


def to_srgb(image: Image.Image, container: Container) -> tuple[Image.Image, list[str]]:
    """Convert a decoded picture to sRGB. Returns the picture (mode RGB or RGBA) and notes for the person.

    Relative colorimetric intent with black-point compensation (ICC.1:2022), as picture editors do; a profile that does
    not fit the pixels is reported and ignored. Raises IntakeError (`unsupported`) for floating-point pixels.
    """
    notes: list[str] = []
    image = _eight_bits(image, container, notes)
    profile = _profile(container.icc, notes)
    if image.mode == "LAB":
        return _convert(image, ImageCms.createProfile("LAB"), "RGB"), [*notes, "Converted from Lab."]
    if image.mode == "CMYK":
        return _from_cmyk(image, profile, notes), notes
    space = profile.space if profile else ""
    grey = image.mode in ("L", "LA")
    if profile and space == "GRAY" and grey:
        image = _from_grey(image, profile, notes)
    else:
        image = image.convert("RGBA" if image.mode == "LA" else "RGB") if grey else image
        if profile and space == "RGB":
            image = _from_rgb(image, profile, notes)
        elif profile:
            notes.append("The embedded colour profile is not for this kind of picture; colours were taken as sRGB.")
        elif container.gamma is not None:
            image = _from_gamma(image, container.gamma)
    if container.hdr and not profile:
        notes.append("This picture is coded for HDR screens; its colours were taken as sRGB and may look flat.")
    return image, notes


def flatten(image: Image.Image) -> Image.Image:
    """Return the picture without transparency, over neutral grey, in mode RGB: what models and encoders are shown."""
    if image.mode == "RGB":
        return image
    rgba = image.convert("RGBA")
    ground = Image.new("RGB", rgba.size, NEUTRAL_GREY)
    ground.paste(rgba, mask=rgba.getchannel("A"))
    return ground


def _eight_bits(image: Image.Image, container: Container, notes: list[str]) -> Image.Image:
    """Return the picture in mode L, LA, RGB, RGBA, CMYK or LAB."""
    mode, transparent = image.mode, "transparency" in image.info
    if mode.startswith("I;16"):
        notes.append("Converted from 16 bits per channel.")
        return _scale_grey(image, container)
    if mode in ("I", "F"):
        raise IntakeError(
            "unsupported", "This picture has 32-bit values per pixel. Export it as 8-bit or 16-bit PNG or TIFF in sRGB."
        )
    if container.bits > 8:
        notes.append(f"Converted from {container.bits} bits per channel.")
    match mode:
        case "1":
            return image.convert("L")
        case "L" | "RGB" if transparent:
            return image.convert("RGBA" if mode == "RGB" else "LA")
        case "P":
            return image.convert("RGBA" if transparent else "RGB")
        case "PA" | "RGBa":
            return image.convert("RGBA")
        case "La":
            return image.convert("LA")
        case "L" | "LA" | "RGB" | "RGBA" | "CMYK" | "LAB":
            return image
        case _:
            return image.convert("RGB")


def _scale_grey(image: Image.Image, container: Container) -> Image.Image:
    """Scale 9-16 bit grey linearly so that full scale stays full scale, rounding to the nearest level."""
    top = (1 << container.bits) - 1 if 8 < container.bits < 16 else 65535
    out = np.empty((image.height, image.width), np.uint8)
    for row in range(0, image.height, _ROWS):
        strip = np.asarray(image.crop((0, row, image.width, min(row + _ROWS, image.height)))).astype(np.uint32)
        out[row : row + _ROWS] = (np.minimum(strip, top) * 255 + top // 2) // top
    if container.inverted:
        np.subtract(255, out, out=out)
    return Image.fromarray(out)


@dataclass(frozen=True, slots=True)
class _Profile:
    handle: ImageCms.ImageCmsProfile
    space: str
    """Colour space of the pixels it describes: `RGB`, `GRAY`, `CMYK`, `Lab`."""
    name: str


def _profile(icc: bytes | None, notes: list[str]) -> _Profile | None:
    if not icc:
        return None
    try:
        handle = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ImageCms.PyCMSError, TypeError, ValueError):
        notes.append("The embedded colour profile could not be read; colours were taken as sRGB.")
        return None
    return _Profile(handle, icc[16:20].decode("latin-1").strip(), _name(handle))


def _name(handle: ImageCms.ImageCmsProfile) -> str:
    try:
        name = handle.profile.profile_description or ""
    except ValueError:  # letters that are none
        return ""
    return "".join(c for c in name.strip() if c.isprintable())[:60]


def _convert(image: Image.Image, handle: object, mode: str) -> Image.Image:
    transform = ImageCms.buildTransform(
        handle,  # type: ignore[arg-type]
        ImageCms.createProfile("sRGB"),
        image.mode,
        mode,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if image.mode == mode:  # a second copy of 64 megapixels would be another 256 MB
        image.load()
        ImageCms.applyTransform(image, transform, inPlace=True)
        return image
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ImageCms.PyCMSError("no result")
    return converted


def _from_rgb(image: Image.Image, profile: _Profile, notes: list[str]) -> Image.Image:
    try:
        if _is_srgb(profile):
            return image
        converted = _convert(image, profile.handle, image.mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("The embedded colour profile could not be used; colours were taken as sRGB.")
        return image
    notes.append(f"Converted from {profile.name or 'its own colour profile'} to sRGB.")
    return converted


def _is_srgb(profile: _Profile) -> bool:
    """Whether the profile moves no colour by more than rounding does.

    Its name does not tell: there are linear profiles called sRGB, and exact ones called otherwise.
    """
    levels = np.linspace(0, 255, 17).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(17, -1, 3)
    moved = np.asarray(_convert(Image.fromarray(lattice), profile.handle, "RGB")).astype(int)
    return bool(np.abs(moved - lattice).max() <= 2)


def _from_grey(image: Image.Image, profile: _Profile, notes: list[str]) -> Image.Image:
    alpha = image.getchannel("A") if image.mode == "LA" else None
    grey = image.getchannel("L")
    try:
        converted = _convert(grey, profile.handle, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("The embedded colour profile could not be used; greys were taken as sRGB.")
        converted = grey.convert("RGB")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _from_cmyk(image: Image.Image, profile: _Profile | None, notes: list[str]) -> Image.Image:
    if profile and profile.space == "CMYK":
        try:
            converted = _convert(image, profile.handle, "RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
        else:
            notes.append(f"Converted from CMYK ({profile.name or 'its own profile'}).")
            return converted
    notes.append("Converted from CMYK without a colour profile: colours are approximate.")
    return image.convert("RGB")


def _from_gamma(image: Image.Image, exponent: float) -> Image.Image:
    """Re-encode samples stored with the PNG gAMA `exponent` for sRGB's nominal 1/2.2 (PNG, 13.13)."""
    power = (1 / 2.2) / exponent
    if abs(power - 1) < 0.02:
        return image
    table = [round(255 * (v / 255) ** power) for v in range(256)]
    return image.point(table * 3 + (list(range(256)) if image.mode == "RGBA" else []))
