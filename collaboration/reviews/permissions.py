from __future__ import annotations

from uuid import UUID

from django.http import Http404

from collaboration.models import User
from collaboration.permissions import Verb, require
from collaboration.reviews.models import Review


def access_review(
    user: User, review_id: UUID, *, verb: Verb = Verb.SEE, slug: str = "", trashed: bool = False
) -> Review:
    """Return the review if `user` may `verb` it. Raises as `permissions.require`, and Http404 where the address names
    another project, or the review is in the trash."""
    rows = Review.objects.select_related("project__studio", "created_by", "closed_by").filter(pk=review_id)
    review = (rows if trashed else rows.filter(trashed_at=None)).first()
    if review is None or (slug and review.project.slug != slug):
        raise Http404
    require(user, verb, review.project)
    return review
