from __future__ import annotations

from django.urls import path

from characters.views import (
    calibration,
    compare,
    detail,
    gallery,
    history,
    look_alikes,
    measurements,
    references,
    sheets,
    texts,
    variations,
)

app_name = "characters"

_all = "projects/<slug:project>/characters/"
_one = _all + "<uuid:pk>/"
_reference = _one + "references/<uuid:reference_id>/"
_batch = _all + "batches/<uuid:batch_id>/"
_sheet = _all + "sheets/<uuid:sheet_id>/"
_variation = _all + "variations/<uuid:variation_id>/"
_preset = _all + "presets/<int:preset_id>/"

urlpatterns = [
    # /studios/<slug>/calibration/
    path("studios/<slug:studio>/calibration/", calibration.calibration, name="calibration"),
    # /projects/<slug>/characters/<uuid>/look-alikes/<int>/
    path(_one + "look-alikes/<int:look_alike_id>/dismiss/", look_alikes.dismiss, name="look_alike_dismiss"),
    path(_one + "look-alikes/<int:look_alike_id>/restore/", look_alikes.restore, name="look_alike_restore"),
    # /projects/<slug>/characters/
    path(_all, gallery.gallery, name="gallery"),
    path(_all + "segments/", gallery.segments, name="segments"),
    path(_all + "segment/", gallery.segment, name="segment"),
    path(_all + "new/", gallery.create, name="create"),
    path(_all + "trash/", gallery.trash, name="trash"),
    path(_all + "selected/trash/", gallery.trash_selected, name="trash_selected"),
    path(_all + "selected/restore/", gallery.restore_selected, name="restore_selected"),
    path(_all + "selected/tag/", gallery.tag_selected, name="tag_selected"),
    path(_all + "selected/train/", gallery.train_selected, name="train_selected"),
    # /projects/<slug>/characters/compare/?item=...&item=...
    path(_all + "compare/", compare.compare, name="compare"),
    # /projects/<slug>/characters/<uuid>/
    path(_one, detail.overview, name="detail"),
    path(_one + "edit/", detail.edit, name="edit"),
    path(_one + "values/", detail.values, name="values"),
    path(_one + "description/", texts.description, name="description"),
    # /projects/<slug>/characters/<uuid>/history/
    path(_one + "history/", history.history, name="history"),
    path(_one + "history/<int:number>/", history.revision, name="revision"),
    path(_one + "history/<int:number>/roll-back/", history.roll_back, name="revision_roll_back"),
    path(_one + "history/<int:number>/undo/", history.undo, name="revision_undo"),
    path(_one + "trash/", detail.trash, name="character_trash"),
    path(_one + "restore/", detail.restore, name="character_restore"),
    path(_one + "prompt/", detail.base_prompt, name="base_prompt"),
    # /projects/<slug>/characters/<uuid>/tab/<name>/: tabs of the apps above, from the wiring's slots
    path(_one + "tab/<slug:name>/", detail.tab, name="tab"),
    # /projects/<slug>/characters/<uuid>/references/
    path(_one + "references/", references.references, name="references"),
    path(_one + "references/summary/", references.summary, name="references_summary"),
    path(_one + "references/check/", references.check, name="references_check"),
    path(_one + "references/separate/", references.separate, name="references_separate"),
    path(_one + "references/rejoin/", references.rejoin, name="references_rejoin"),
    # /projects/<slug>/characters/<uuid>/references/<uuid>/
    path(_reference, references.reference, name="reference"),
    path(_reference + "trash/", references.trash, name="reference_trash"),
    path(_reference + "restore/", references.restore, name="reference_restore"),
    path(_reference + "erase/", references.erase, name="reference_erase"),
    path(_reference + "erase/generated/", references.erase_generated, name="reference_erase_generated"),
    # /projects/<slug>/characters/<uuid>/sheets/
    path(_one + "sheets/", sheets.sheets_page, name="sheets"),
    path(_one + "sheets/estimate/", sheets.estimate, name="sheet_estimate"),
    path(_one + "faces/", sheets.cast, name="faces"),
    # /projects/<slug>/characters/sheets/<uuid>/
    path(_sheet + "progress/", sheets.progress, name="sheet_progress"),
    path(_sheet + "job/<str:what>/", sheets.job, name="sheet_job"),
    path(_sheet + "pictures/approve/", sheets.approve, name="sheet_approve"),
    path(_sheet + "pictures/reject/", sheets.reject, name="sheet_reject"),
    path(_sheet + "pictures/reopen/", sheets.reopen, name="sheet_reopen"),
    path(_sheet + "cells/<int:place>/again/", sheets.again, name="sheet_again"),
    path(_sheet + "sheet.png", sheets.picture, name="sheet_picture"),
    # /projects/<slug>/characters/<uuid>/variations/
    path(_one + "variations/", variations.variations, name="variations"),
    path(_one + "variations/estimate/", variations.estimate, name="estimate"),
    path(_one + "variations/measure/", measurements.measure, name="measure"),
    path(_one + "variations/measuring/", measurements.measuring, name="measuring"),
    path(_one + "variations/measuring/stop/", measurements.stop, name="measuring_stop"),
    path(_one + "variations/presets/", variations.preset_save, name="preset_save"),
    path(_preset + "trash/", variations.preset_trash, name="preset_trash"),
    path(_preset + "restore/", variations.preset_restore, name="preset_restore"),
    # /projects/<slug>/characters/batches/<uuid>/
    path(_batch + "progress/", variations.batch_progress, name="batch_progress"),
    path(_batch + "cancel/", variations.batch_cancel, name="batch_cancel"),
    path(_batch + "retry/", variations.batch_retry, name="batch_retry"),
    path(_batch + "faces/progress/", sheets.faces_progress, name="faces_progress"),
    path(_batch + "faces/job/<str:what>/", sheets.faces_job, name="faces_job"),
    # /projects/<slug>/characters/variations/<uuid>/
    path(_variation, variations.variation, name="variation"),
    path(_variation + "choose/", sheets.choose, name="face_choose"),
    path(_variation + "pick/", variations.pick, name="variation_pick"),
    path(_variation + "unpick/", variations.unpick, name="variation_unpick"),
    path(_variation + "trash/", variations.trash, name="variation_trash"),
    path(_variation + "restore/", variations.restore, name="variation_restore"),
]
