"""Who may open a file: whoever may see its project."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404

from assets.models import Asset
from collaboration.models import User
from collaboration.permissions import Verb, require


def access_asset(user: User, asset_id: UUID, *, verb: Verb = Verb.SEE) -> Asset:
    """Return the asset, with its project, if `user` may `verb` in it.

    Raises Http404 to strangers and PermissionDenied to members without the verb. Takes three queries.
    """
    asset = Asset.objects.select_related("project").filter(pk=asset_id).first()
    if asset is None:
        raise Http404
    require(user, verb, asset.project)
    return asset
