"""One of a user's accounts while it works in a cycle."""

from dataclasses import dataclass

from bot.cycle.run import CycleRun, CycleServices
from bot.reactions.classify import SessionDeleted
from core.models import Level, Session, User


@dataclass(frozen=True)
class CycleAccount:
    """The account, the cycle it works in, and the services around both."""

    services: CycleServices
    run: CycleRun
    name: str

    @property
    def session(self) -> Session:
        """The account as it is now. Raises SessionDeleted: it was deleted while the cycle ran."""
        session = self.services.store.snapshot.sessions.get(self.name)
        if session is None:
            raise SessionDeleted("it was deleted")
        return session

    @property
    def user(self) -> User:
        """The user it works for, as they are now."""
        return self.services.store.snapshot.users[self.run.user]

    @property
    def has_colleagues(self) -> bool:
        """Whether the user has other accounts."""
        return len(self.user.assigned_sessions) > 1

    async def tell(
        self, action: str, text: str, level: Level = Level.WARNING, *, group: str | None = None, floods: int = 0
    ) -> None:
        """Add a line about the account to the user's log, and count flood waits."""
        await self.run.record(event=self.run.event(action, text, level, self.name, group), floods=floods)
