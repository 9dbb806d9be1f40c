"""Posts that are over and may have arrived: looked for in their chats before they are closed.

Every such post of a share passes through here: what a stop, a refusal or too many tries ended while the answer to an
attempt was missing, and what another account was cut off from.
"""

import logging
from dataclasses import dataclass

from telethon.errors import RPCError

from bot.cycle.run import CycleRun
from bot.cycle.sending import Sender
from bot.reactions.classify import Action, Scope, reaction_to
from core.errors import InvalidInput
from core.models import Delivery, DeliveryState
from sessions.client import PostingClient

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
    """Those of one share."""

    def __init__(self, run: CycleRun, sender: Sender) -> None:
        self._run = run
        self._sender = sender
        self._left: list[_Doubt] = []

    def __bool__(self) -> bool:
        """Whether something is left to be found out here; what is cut off is found out by a later run."""
        return bool(self._left) and not self._run.is_cut_off

    def add(self, delivery: Delivery, reason: str, error: str | None = None, *, tell: bool = True) -> None:
        """This one is over for that reason."""
        self._left.append(_Doubt(delivery, reason, error, tell))

    def pass_on(self) -> list[Delivery]:
        """The account is lost: others have to look. Nothing is left here."""
        passed_on = [doubt.delivery for doubt in self._left]
        self._left.clear()
        return passed_on

    async def look(self, client: PostingClient) -> list[Delivery]:
        """Look for each; return those that had arrived, as they were written down.

        Raises:
            CONNECTION_LOST, RPCError: about the account or its connection; what was not looked for is left.
        """
        arrived = []
        while self:
            doubt = self._left[0]
            try:
                outgoing, to = await self._sender.prepare(client, doubt.delivery, to_send=False)
                sent = await self._sender.find(client, doubt.delivery, outgoing, to)
            except InvalidInput:
                await self._close(doubt, _NOT_LOOKED)
            except RPCError as error:
                reaction = reaction_to(error)
                if reaction.scope is Scope.ACCOUNT and reaction.action is Action.HOLD:
                    await self.close()  # Telegram wants no further question
                if reaction.scope not in {Scope.GROUP, Scope.CONTENT}:
                    raise
                log.info("A post to %s could not be looked for: %s", doubt.delivery.group, reaction.code)
                await self._close(doubt, _NOT_LOOKED)
            else:
                if sent is None:
                    await self._close(doubt, _NOT_THERE)
                else:
                    self._left.remove(doubt)
                    arrived.append(await self._sender.arrived(doubt.delivery, sent, outgoing.parts))
        return arrived

    async def close(self) -> None:
        """Nobody can look."""
        while self:
            await self._close(self._left[0], _NOT_LOOKED)

    async def _close(self, doubt: _Doubt, why: str) -> None:
        reason = f"{doubt.reason.removesuffix('.')}; {why}"
        await self._run.close(doubt.delivery, DeliveryState.UNKNOWN, reason, error=doubt.error, tell=doubt.tell)
        self._left.remove(doubt)
