from __future__ import annotations

from django.urls import path

from collaboration.views import account, activity, invitations, palette, people, projects, settings, studios

app_name = "collaboration"

_people = "projects/<slug:project>/people/"
_settings = "projects/<slug:project>/settings/"

urlpatterns = [
    # /projects/
    path("projects/", projects.projects, name="projects"),
    # /projects/<slug>/people/
    path(_people, people.people, name="people"),
    path(_people + "<int:user_id>/role/", people.member_role, name="member_role"),
    path(_people + "<int:user_id>/remove/", people.member_remove, name="member_remove"),
    path(_people + "<int:user_id>/restore/", people.member_restore, name="member_restore"),
    path(_people + "invitations/", people.invite, name="invite"),
    path(_people + "invitations/<uuid:invitation_id>/revoke/", people.invitation_revoke, name="invitation_revoke"),
    # /projects/<slug>/find/?q=
    path("projects/<slug:project>/find/", palette.palette, name="find"),
    # /projects/<slug>/activity/
    path("projects/<slug:project>/activity/", activity.activity, name="activity"),
    # /projects/<slug>/settings/
    path(_settings, settings.settings, name="settings"),
    path(_settings + "scenes/", settings.scene_add, name="scene_add"),
    path(_settings + "scenes/<uuid:row_id>/", settings.scene_edit, name="scene_edit"),
    path(_settings + "scenes/<uuid:row_id>/move/", settings.row_move, {"kind": "scene"}, name="scene_move"),
    path(_settings + "scenes/<uuid:row_id>/trash/", settings.row_trash, {"kind": "scene"}, name="scene_trash"),
    path(_settings + "scenes/<uuid:row_id>/restore/", settings.row_restore, {"kind": "scene"}, name="scene_restore"),
    path(_settings + "scenes/<uuid:scene_id>/shots/", settings.shot_add, name="shot_add"),
    path(_settings + "shots/<uuid:row_id>/", settings.shot_edit, name="shot_edit"),
    path(_settings + "shots/<uuid:row_id>/move/", settings.row_move, {"kind": "shot"}, name="shot_move"),
    path(_settings + "shots/<uuid:row_id>/trash/", settings.row_trash, {"kind": "shot"}, name="shot_trash"),
    path(_settings + "shots/<uuid:row_id>/restore/", settings.row_restore, {"kind": "shot"}, name="shot_restore"),
    # /studios/<slug>/
    path("studios/<slug:studio>/", studios.studio, name="studio"),
    # /invitations/<secret>/
    path("invitations/<str:secret>/", invitations.invitation, name="invitation"),
    # /account/
    path("account/profile/", account.profile, name="profile"),
    path("account/tokens/", account.tokens, name="tokens"),
    path("account/tokens/<uuid:token_id>/revoke/", account.token_revoke, name="token_revoke"),
]
