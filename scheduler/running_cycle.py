"""A user's cycle that runs now, or is about to."""

import asyncio
from datetime import datetime

from bot.cycle.run import CycleControl, CycleProgress, CycleRun


class RunningCycle:
    """One cycle as the scheduler sees it."""

    def __init__(self, due: datetime, scheduled_for: datetime, began: float) -> None:
        self.due = due
        self.scheduled_for = scheduled_for
        """The moment it is for: before `due` if it was put off, or when the schedule was last changed."""
        self.control = CycleControl()
        self.run: CycleRun | None = None
        self.task: asyncio.Task[None] | None = None
        self.stuck = False
        """Whether the watchdog ended it."""
        self.over = False
        """Whether it has ended, so that only the next run is still to be entered."""
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
