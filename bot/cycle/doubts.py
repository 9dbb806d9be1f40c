"""Posts that are over and may have arrived: they are looked for in their chats before they are closed.

A post comes here when a stop, a refusal or too many tries ended it while an attempt had no answer, or when another
account was cut off while it sent it.
"""

import logging
from dataclasses import dataclass

from bot.cycle.run import CycleRun
from bot.cycle.sending import Sender
from bot.reactions.classify import Action, Reaction, Scope, reaction_to
from core.models import Delivery, DeliveryState
from sessions.connections.client import PostingClient

log = logging.getLogger(__name__)
_NOT_LOOKED = "it could not be looked for"
_NOT_THERE = "it does not stand in the chat"


@dataclass(frozen=True)
class _Doubt:
    delivery: Delivery
    reason: str
    error: str | None
    tell: bool


class Doubts:
    """The posts in doubt of one account's batch."""

    def __init__(self, run: CycleRun, sender: Sender) -> None:
        self._run = run
        self._sender = sender
        self._left: list[_Doubt] = []
        self.found: list[Delivery] = []
        """Those that had arrived, as they were written down."""

    def __bool__(self) -> bool:
        """Return whether something is left to find out here. A later run finds out what is cut off."""
        return bool(self._left) and not self._run.is_cut_off

    def add(self, delivery: Delivery, reason: str, error: str | None = None, *, tell: bool = True) -> None:
        """Take a delivery that is over for that reason."""
        self._left.append(_Doubt(delivery, reason, error, tell))

    def pass_on(self) -> list[Delivery]:
        """Return the deliveries that are left, and forget them: the account is lost, so others have to look."""
        passed_on = [doubt.delivery for doubt in self._left]
        self._left.clear()
        return passed_on

    async def look(self, client: PostingClient) -> Reaction | None:
        """Look for each. Return the error that kept the account from looking for the rest, if any.

        Raises:
            StateError: something could not be read or written.
        """
        while self:
            doubt = self._left[0]
            try:
                found = await self._look_for(client, doubt)
            except Exception as error:  # noqa: BLE001  the table decides about every error
                reaction = reaction_to(error)
                if reaction.scope is Scope.ACCOUNT and reaction.action is Action.HOLD:
                    await self.close()  # Telegram wants no further question
                if reaction.is_unexpected or reaction.scope not in {Scope.GROUP, Scope.CONTENT}:
                    return reaction
                log.info("A post to %s could not be looked for: %s", doubt.delivery.group, reaction.code)
                await self._close(doubt, _NOT_LOOKED)
            else:
                if not found:
                    await self._close(doubt, _NOT_THERE)
        return None

    async def _look_for(self, client: PostingClient, doubt: _Doubt) -> bool:
        outgoing, to = await self._sender.prepare(client, doubt.delivery, to_send=False)
        sent = await self._sender.find(client, doubt.delivery, outgoing, to)
        if sent is not None:
            self._left.remove(doubt)
            self.found.append(await self._sender.arrived(doubt.delivery, sent, outgoing.parts))
        return sent is not None

    async def close(self) -> None:
        """Close what is left: nobody can look for it."""
        while self:
            await self._close(self._left[0], _NOT_LOOKED)

    async def _close(self, doubt: _Doubt, why: str) -> None:
        reason = f"{doubt.reason.removesuffix('.')}; {why}"
        await self._run.close(doubt.delivery, DeliveryState.UNKNOWN, reason, error=doubt.error, tell=doubt.tell)
        self._left.remove(doubt)
