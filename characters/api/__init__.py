"""/api/v1: characters, their references and profile, and the pictures made of them."""

from __future__ import annotations

from ninja import Router

from characters.api import batches, calibration, characters, history, look_alikes, measurements, references, sheets

router = Router()
router.add_router("", characters.router)
router.add_router("", references.router)
router.add_router("", batches.router)
router.add_router("", sheets.router)
router.add_router("", look_alikes.router)
router.add_router("", calibration.router)
router.add_router("", measurements.router)
router.add_router("", history.router)
