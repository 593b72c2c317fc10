"""What packs saw in pictures, kept by content: the same picture is looked at once, whoever brings it and where.

Every picture keeps a reading of its own, so that it goes when that picture is erased and stays while another upload of
the same content does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from assets.models import Asset
from gpu_worker import contracts
from gpu_worker.contracts import Known, Looked
from gpu_worker.models import Reading
from gpu_worker.packs import Pack


def known(assets: Sequence[Asset | None], pack: Pack, encoders: Collection[str]) -> tuple[Known, ...]:
    """What this version of the pack saw before in pictures of the same content, by all of `encoders`.

    In any picture of that content that is not erased, in whatever project; its own reading first.
    """
    wanted = {asset.sha256 for asset in assets if asset is not None and asset.erased_at is None and asset.sha256}
    rows = Reading.objects.filter(
        asset__sha256__in=wanted, asset__erased_at=None, pack=pack.name, pack_version=pack.version
    )
    own: dict[object, Looked] = {}
    of_content: dict[str, Looked] = {}
    for asset_id, sha256, seen in rows.values_list("asset_id", "asset__sha256", "seen").iterator(100):
        looked = contracts.looked_from_json(seen)
        if set(encoders) <= set(looked.encoders):
            own[asset_id] = of_content[sha256] = looked
    found = [
        own.get(asset.pk) or of_content.get(asset.sha256) if asset is not None and asset.erased_at is None else None
        for asset in assets
    ]
    return tuple(Known(index=k, seen=looked) for k, looked in enumerate(found) if looked is not None)


def forget(*, asset: Asset) -> None:
    """Delete what was seen in a picture, in the transaction that erases it."""
    Reading.objects.filter(asset_id=asset.pk).delete()
