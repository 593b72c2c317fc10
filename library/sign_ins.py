"""Who can sign in to the sample project. Read by the sign-in page too, so it imports no models and no painter."""

from __future__ import annotations

from dataclasses import dataclass

from collaboration.verbs import Role

PASSWORD = "lighthouse keeper"  # noqa: S105 - of invented people, printed at every start


@dataclass(frozen=True, slots=True)
class SignIn:
    email: str
    person: str
    role: Role | None
    """None for a stranger, who is a member of nothing."""

    @property
    def words(self) -> str:
        return "stranger" if self.role is None else str(self.role)


SIGN_INS = (
    SignIn("alice@studio.example", "Alice Moreau", Role.OWNER),
    SignIn("leo@studio.example", "Leo Lindqvist", Role.LEAD),
    SignIn("bob@studio.example", "Bob Adeyemi", Role.ARTIST),
    SignIn("rita@studio.example", "Rita Kowalska", Role.REVIEWER),
    SignIn("vera@studio.example", "Vera Santos", Role.VIEWER),
    SignIn("charlie@studio.example", "Charlie Novak", None),
)
