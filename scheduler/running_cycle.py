"""A user's cycle that runs now, or is about to."""

import asyncio
from datetime import datetime

from bot.cycle.run import CycleControl, CycleProgress, CycleRun


class Active:
    """One cycle as the scheduler sees it."""

    def __init__(self, due: datetime, scheduled_for: datetime, began: float) -> None:
        self.due = due
        self.scheduled_for = scheduled_for
        """The moment it is for, before `due` where it was put off; after a change of the
        schedule, the moment of that change."""
        self.control = CycleControl()
        self.run: CycleRun | None = None
        self.task: asyncio.Task[None] | None = None
        self.stuck = False
        """The watchdog ended it."""
        self.over = False
        """The cycle has ended and the next run is being entered."""
        self._began = began

    def progress(self) -> CycleProgress | None:
        """Return the progress, None until the plan stands."""
        return self.run.progress() if self.run is not None else None

    def last_sign(self) -> float:
        """Return when it last showed a sign of life, in monotonic seconds."""
        return max(self._began, self.run.last_sign) if self.run is not None else self._began

    @property
    def cut_off(self) -> bool:
        """Whether posts of it, or its plan, are still to be made."""
        return self.run is None or bool(self.run.pending)
