"""What the next cycle would do: who posts where, why some groups are left out, how long it takes. Nothing is posted.

`bot.preflight.survey` asks Telegram. This module derives the report, with the planner and the pacing of cycles.
"""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from telethon import utils

from bot.chats.membership import is_exempt
from bot.chats.targets import Target, parse_target
from bot.compose.content import Rendered, post_for_cycle, render, render_for_group
from bot.compose.kinds.register import KINDS, files_of
from bot.compose.media import check_contents
from bot.compose.post import Post, RenderContext
from bot.compose.rights import rights_needed
from bot.compose.text import Formatted
from bot.cycle.known_obstacles import Arrangement, who_posts
from bot.cycle.planner import Plan, clock_time
from bot.cycle.run import CycleServices
from bot.cycle.runner import check_ready
from bot.pacing.decide import PacingState, Verdict, cycle_seconds, decide
from bot.preflight.report import (
    AccountCheck,
    AccountInGroup,
    GroupCheck,
    Preflight,
    ShownEntity,
    ShownFile,
    ShownPost,
)
from bot.preflight.survey import AccountView, Survey, survey
from core.errors import InvalidInput
from core.models import PostContent, User


async def preflight(services: CycleServices, user_id: str, user: User) -> Preflight:
    """Return what the next cycle of this bot would do. `user` may hold changes that are not stored yet.

    Raises:
        NoGroups, NoContent: there is no group, or nothing to post.
        NotRead, StateError: a file cannot be read now.
    """
    check_ready(user)
    number = user.cycles + 1
    post = post_for_cycle(user.post_type, user.post_content, number)
    targets = [parse_target(group) for group in user.groups]
    await services.history.open(user_id)
    found = await survey(services, user, post, targets)
    now = services.clock.now()
    planned = await who_posts(services, user_id, user, post, now, asked_now=True)
    found.forget_those_gone(services.store.snapshot.sessions)
    problems, files = await _files(services.media_folder(user_id), post)
    return _Judgement(services, user_id, user, post, number, found, planned, now).report(problems, files)


async def _files(folder: Path, post: Post) -> tuple[list[str], list[ShownFile]]:
    """Return why some of the post's files cannot be sent, and all of them as they are shown."""
    shown, problems = [], []
    for media, kind in files_of(post):
        size = None
        try:
            size = await check_contents(folder, Post(post.type, PostContent(media=(media,))))
        except InvalidInput as error:
            problems.append(error.fix)
        shown.append(ShownFile(file=media.file, kind=kind, bytes=size))
    return problems, shown


class _Judgement:
    """Derives the report from what was seen."""

    def __init__(
        self,
        services: CycleServices,
        user_id: str,
        user: User,
        post: Post,
        number: int,
        found: Survey,
        planned: Arrangement,
        now: datetime,
    ) -> None:
        self._services = services
        self._user_id = user_id
        self._user = user
        self._post = post
        self._number = number
        self._found = found
        self._planned = planned
        self._now = now
        self._targets = {group: parse_target(group) for group in user.groups}
        self._sessions = services.store.snapshot.sessions

    def report(self, problems: list[str], files: list[ShownFile]) -> Preflight:
        """Return the report. `problems` and `files` are what `_files` found."""
        if self._found.source_problem is not None:
            problems.append(self._found.source_problem)
        rendered = self._rendered(problems)
        plan, left_out = self._planned.plan, dict(self._planned.plan.skipped)
        for group in list(plan.sessions):
            reason = problems[0] if problems else self._too_long_here(group, plan.sessions[group])
            if reason is not None:
                del plan.sessions[group]
                left_out[group] = reason
        load = Counter(plan.sessions.values())
        return Preflight(
            post=self._shown(rendered, files),
            rights_needed=rights_needed(self._post),
            problems=problems,
            groups=[self._group(group, plan, left_out.get(group)) for group in self._user.groups],
            accounts=[self._account(view, load[view.session], rendered) for view in self._found.views.values()],
            posts=len(plan.sessions),
            cycle_seconds=cycle_seconds(list(load.values()), self._services.history.limits(self._user)),
        )

    # The post

    def _rendered(self, problems: list[str]) -> Rendered:
        """Return the post as the first group with a known title gets it; add to `problems` why no group can get it."""
        first = next((self._title(group) for group in self._user.groups if self._title(group)), None)
        try:
            return self._render(first or self._user.groups[0], premium=True)
        except InvalidInput:
            pass  # too long in this group, maybe not in others
        try:
            return Rendered(self._post, render(self._post, None, premium=True))
        except InvalidInput as error:
            problems.append(error.fix)
            return Rendered(self._post, Formatted(""))

    def _render(self, title: str, *, premium: bool) -> Rendered:
        context = RenderContext(group=title, moment=self._now, number=self._number)
        return render_for_group(self._post, context, premium=premium)

    def _too_long_here(self, group: str, session: str) -> str | None:
        try:
            self._render(self._title(group) or group, premium=bool(self._premium(session)))
        except InvalidInput as error:
            return error.fix
        return None

    def _shown(self, rendered: Rendered, files: list[ShownFile]) -> ShownPost:
        content, text, kind = rendered.post.content, rendered.text, KINDS[self._post.type]
        return ShownPost(
            type=self._post.type,
            number=self._number,
            summary=kind.summary(content),
            text=text.text,
            entities=[_shown_entity(entity) for entity in text.entities],
            units=text.units,
            most_units=kind.text.most,
            most_units_premium=kind.text.most_premium,
            files=files,
            poll_question=content.poll.question if content.poll else None,
            poll_answers=content.poll.answers if content.poll else (),
            message=content.message,
        )

    # Groups

    def _premium(self, session: str) -> bool | None:
        """Return whether the account has Premium, as it says now or said last; None if it never said."""
        seen = self._found.views[session].premium
        return self._sessions[session].premium if seen is None else seen

    def _topic(self, target: Target) -> str | None:
        chats = self._chats(target)
        if target.topic is None or (chats and not any(getattr(chat, "forum", False) for chat in chats)):
            return None
        return self._services.peers.seen.topic(target.chat, target.topic) or "unknown"

    def _chats(self, target: Target) -> list[Any]:
        """Return the chat as each account that sees it got it."""
        seen = (self._services.peers.seen.chat(session, target.chat) for session in self._found.views)
        return [chat for chat in seen if chat is not None]

    def _group(self, group: str, plan: Plan, reason: str | None) -> GroupCheck:
        target = self._targets[group]
        chats = self._chats(target)
        slow_mode = self._found.slow_modes.get(target.chat)
        if slow_mode is None and chats and not any(getattr(chat, "slowmode_enabled", False) for chat in chats):
            slow_mode = 0.0
        return GroupCheck(
            group=group,
            title=self._title(group),
            session=plan.sessions.get(group),
            reason=reason,
            slow_mode_seconds=slow_mode,
            topic=self._topic(target),
            protected=any(getattr(chat, "noforwards", False) for chat in chats),
            accounts=[self._in_group(view, group) for view in self._found.views.values()],
        )

    def _in_group(self, view: AccountView, group: str) -> AccountInGroup:
        target, name = self._targets[group], view.session
        chat = self._services.peers.seen.chat(name, target.chat)
        accounts = self._planned.accounts
        hold = accounts.holds.get(group, {}).get(name)
        if (excluded := accounts.exclusions.get(group, {}).get(name)) is not None:
            return AccountInGroup(session=name, can_post=False, reason=excluded.reason)
        limits = self._services.history.limits(self._user)
        if hold is not None and decide(self._now, limits, PacingState(group_hold=hold)).verdict is Verdict.DEFER:
            reason = f"it leaves this group alone until {clock_time(hold.until)}: {hold.reason}"
            return AccountInGroup(session=name, can_post=False, reason=reason, not_before=hold.until)
        if chat is None:
            return AccountInGroup(
                session=name, can_post=None, reason=view.trouble or "it was not asked about this group"
            )
        slow_mode = 0.0 if is_exempt(chat) else self._found.slow_modes.get(target.chat, 0.0)
        history = self._services.history
        account = history.account(name, self._sessions[name])
        place = history.in_group(self._user_id, name, group, slow_mode, hold)
        both = PacingState(
            account_posts=account.account_posts,
            account_asked=account.account_asked,
            account_hold=account.account_hold,
            group_last=place.group_last,
            own_last_in_group=place.own_last_in_group,
            slow_mode_seconds=slow_mode,
            group_hold=hold,
        )
        wait = decide(self._now, limits, both)
        waits = wait.verdict is not Verdict.GO
        return AccountInGroup(
            session=name,
            can_post=True,
            reason=None,
            not_before=wait.at if waits else None,
            waits_for=wait.reason if waits else None,
        )

    def _title(self, group: str) -> str | None:
        seen, chat = self._services.peers.seen, self._targets[group].chat
        outside = (seen.absence(session, chat) for session in self._found.views)
        chats = [*self._chats(self._targets[group]), *(one.chat for one in outside if one is not None)]
        return next((utils.get_display_name(one) for one in chats if one is not None), None)

    # Accounts

    def _account(self, view: AccountView, posts: int, rendered: Rendered) -> AccountCheck:
        return AccountCheck(
            session=view.session, premium=view.premium, posts=posts, reason=self._remark(view, posts, rendered)
        )

    def _remark(self, view: AccountView, posts: int, rendered: Rendered) -> str | None:
        session = self._sessions[view.session]
        if session.state_reason is not None:
            return session.state_reason
        if view.trouble is not None:
            return view.trouble
        if session.hold is not None and session.hold.until > self._now:
            return f"it rests until {clock_time(session.hold.until)}: {session.hold.reason}"
        if view.source_missing is not None:
            return view.source_missing
        limits = self._services.history.limits(self._user)
        room = limits.daily_cap - len(self._services.history.account(view.session, session).account_posts)
        if posts > room:
            return f"it makes at most {limits.daily_cap} posts in 24 hours; {posts - max(room, 0)} of its groups wait"
        if posts and view.premium is False and rendered.text.has_custom_emoji:
            return "it has no Telegram Premium: custom emoji arrive as the plain ones they stand for"
        return None


def _shown_entity(entity: Any) -> ShownEntity:
    name = type(entity).__name__.removeprefix("MessageEntity")
    kind = "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name).lstrip("_")
    return ShownEntity(kind=kind, offset=entity.offset, length=entity.length, url=getattr(entity, "url", None))
