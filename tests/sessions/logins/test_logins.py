"""Logging accounts in, as people do, over real MTProto."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient, functions
from telethon.sessions import SQLiteSession

from core.clock import Clock, SystemClock
from core.errors import AccountRefused, InvalidInput, LoginRefused, NotFound, PostfleetError, TooMany
from core.models import SessionState
from sandbox.world import AccountSpec, ChatSpec, World
from sessions.logins.logins import LOGIN_SECONDS, Login, Logins, Step, Wish
from sessions.roster.admission import NOT_HERE
from tests.support.clock import MovableClock
from tests.support.house import House, open_house, until

ANN, BOB, EVE, NOBODY = "+9996600001", "+999 66 00002", "+9996600003", "+9996699999"
CODE, PASSWORD = "12345", "correct horse"
ALICE = Wish(owner="alice")


def world(**options: Any) -> World:
    return World(
        accounts=[
            AccountSpec("ann", phone=ANN),
            AccountSpec("bob", phone=BOB.replace(" ", ""), password=PASSWORD),
            AccountSpec("eve", phone=EVE, state="banned"),
        ],
        chats=[ChatSpec("plaza")],
        **options,
    )


@dataclass
class Counter:
    """A house whose pool is empty, and the counter where accounts are logged in."""

    house: House
    logins: Logins
    clock: Clock

    async def scan(self, shown: Login, account: str, folder: Path) -> None:
        """Accept the QR code with an app that is logged in to the account."""
        assert shown.qr_url is not None
        token = shown.qr_url.partition("token=")[2]
        path = self.house.sandbox.write_session(account, folder / f"{account}-app.session", 9)
        app = TelegramClient(SQLiteSession(str(path)), 1, "hash", request_retries=1)
        await app.connect()
        try:
            await app(functions.auth.AcceptLoginTokenRequest(base64.urlsafe_b64decode(token + "==")))
        finally:
            await app.disconnect()

    def logins_at_telegram(self, account: str) -> int:
        """How many keys the data centre lets in as this account, without the ready-made one."""
        centre = self.house.sandbox.centre
        return sum(login.state == "ok" for login in centre.keys.logins_of(centre.account(account))) - 1


async def counter_in(folder: Path, built: World | None = None, clock: Clock | None = None) -> AsyncIterator[Counter]:
    (folder / "state" / "sessions" / "available").mkdir(parents=True)
    async with open_house(folder, built or world()) as house:
        used = clock or SystemClock()
        logins = Logins(house.services.sessions, house.services.clients, used)
        try:
            yield Counter(house, logins, used)
        finally:
            await logins.close()


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    async for one in counter_in(tmp_path):
        yield one


@pytest.fixture
async def slow_counter(tmp_path: Path) -> AsyncIterator[Counter]:
    """Its clock stands still until it is moved."""
    async for one in counter_in(tmp_path, clock=MovableClock()):
        yield one


async def test_phone_and_code_make_an_account_that_posts(counter: Counter) -> None:
    house = counter.house
    await house.add_user("alice", ["@plaza"])
    begun = await counter.logins.begin("alice", ALICE, ANN)
    assert begun.step is Step.CODE
    assert begun.sent == "in a Telegram app that is logged in to that account"
    done = await counter.logins.code("alice", begun.id, " 12 345")
    assert (done.step, done.assigned_to) == (Step.DONE, "alice")
    assert done.session is not None
    session = house.store.snapshot.sessions[done.session]
    assert (session.owner, session.phone, session.state) == ("alice", ANN[1:], SessionState.READY)
    await house.cycle("alice")
    assert house.texts("plaza") == ["Hello from alice"]


async def test_an_account_with_a_password_needs_that_too(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, BOB)
    asked = await counter.logins.code("alice", begun.id, CODE)
    assert (asked.step, asked.session) == (Step.PASSWORD, None)
    with pytest.raises(InvalidInput, match="password: that is not"):
        await counter.logins.password("alice", begun.id, "wrong")
    done = await counter.logins.password("alice", begun.id, PASSWORD)
    assert done.step is Step.DONE


async def test_a_scanned_qr_code_logs_in(counter: Counter, tmp_path: Path) -> None:
    begun = await counter.logins.begin("alice", ALICE, None)
    assert begun.step is Step.QR
    await counter.scan(begun, "ann", tmp_path)
    await until(lambda: counter.logins.status("alice", begun.id).step is Step.DONE, "the login")
    assert list(counter.house.store.snapshot.sessions) == [counter.logins.status("alice", begun.id).session]


async def test_a_qr_code_of_a_guarded_account_still_needs_the_password(counter: Counter, tmp_path: Path) -> None:
    begun = await counter.logins.begin("alice", ALICE, None)
    await counter.scan(begun, "bob", tmp_path)
    await until(lambda: counter.logins.status("alice", begun.id).step is Step.PASSWORD, "the second step")
    assert (await counter.logins.password("alice", begun.id, PASSWORD)).step is Step.DONE


async def test_a_qr_code_nobody_scans_is_shown_anew(slow_counter: Counter) -> None:
    logins, clock = slow_counter.logins, slow_counter.clock
    assert isinstance(clock, MovableClock)
    begun = await logins.begin("alice", ALICE, None)
    await until(lambda: clock.sleepers, "the wait for a scan")
    await clock.advance(26)
    await until(lambda: logins.status("alice", begun.id).qr_url not in {None, begun.qr_url}, "another code")


@pytest.mark.parametrize(
    "pasted",
    [
        "\u202a{}\u202c",
        "\ufeff{}\r\n",
        '"{}"',
        "PHONE={}",
        "tel:{}",
        "\u200e\u00a0{}\u2069",
    ],
)
async def test_a_phone_number_is_found_in_what_was_pasted(counter: Counter, pasted: str) -> None:
    begun = await counter.logins.begin("alice", ALICE, pasted.format(ANN))
    done = await counter.logins.code("alice", begun.id, CODE)
    assert (done.step, counter.house.store.snapshot.sessions[str(done.session)].phone) == (Step.DONE, ANN[1:])


async def test_a_phone_number_may_be_written_in_the_digits_and_dashes_of_any_keyboard(counter: Counter) -> None:
    persian = "".join(chr(0x06F0 + int(sign)) if sign.isdigit() else sign for sign in ANN)
    spaced = f"＋{persian[1:4]}\u00a0{persian[4:7]}\u2011{persian[7:]}"
    begun = await counter.logins.begin("alice", ALICE, spaced)
    assert begun.step is Step.CODE


@pytest.mark.parametrize(
    ("phone", "error", "says"),
    [
        (NOBODY, InvalidInput, "phone: no Telegram account has this number"),
        ("hello", InvalidInput, "phone: not a phone number"),
        (EVE, LoginRefused, "Telegram has banned this number"),
    ],
)
async def test_a_number_that_cannot_log_in_is_told_why(
    counter: Counter, phone: str, error: type[PostfleetError], says: str
) -> None:
    with pytest.raises(error, match=says):
        await counter.logins.begin("alice", ALICE, phone)


async def test_a_flood_on_codes_says_when_to_come_back(counter: Counter) -> None:
    counter.house.sandbox.add_fault({"error": "FLOOD_WAIT_777", "method": "auth.sendCode"})
    with pytest.raises(TooMany, match="777 seconds") as refused:
        await counter.logins.begin("alice", ALICE, ANN)
    assert refused.value.retry_after == 777


async def test_a_wrong_code_leaves_the_login_open_and_five_end_it(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    for _ in range(4):
        with pytest.raises(InvalidInput, match="code: that is not the code"):
            await counter.logins.code("alice", begun.id, "54321")
    assert counter.logins.status("alice", begun.id).step is Step.CODE
    with pytest.raises(InvalidInput):
        await counter.logins.code("alice", begun.id, "54321")
    with pytest.raises(LoginRefused, match="5 wrong answers; begin again"):
        await counter.logins.code("alice", begun.id, CODE)


async def test_an_expired_code_ends_the_login_and_says_so(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    counter.house.sandbox.add_fault({"error": "PHONE_CODE_EXPIRED", "method": "auth.signIn", "count": 1})
    with pytest.raises(LoginRefused, match="begin again to get a new one") as refused:
        await counter.logins.code("alice", begun.id, CODE)
    assert refused.value.code == "code_expired"
    assert counter.logins.status("alice", begun.id).step is Step.OVER


async def test_a_login_expires_by_itself_and_lets_its_connection_go(slow_counter: Counter) -> None:
    logins, clock = slow_counter.logins, slow_counter.clock
    assert isinstance(clock, MovableClock)
    begun = await logins.begin("alice", ALICE, ANN)
    await until(lambda: clock.sleepers, "the watch over the login")
    await clock.advance(LOGIN_SECONDS)
    await until(lambda: logins.status("alice", begun.id).step is Step.OVER, "its end")
    with pytest.raises(LoginRefused, match="not finished in time; begin again"):
        await logins.code("alice", begun.id, CODE)
    await until(lambda: clock.sleepers, "the time its end can still be asked for")
    await clock.advance(LOGIN_SECONDS)
    with pytest.raises(NotFound):
        logins.status("alice", begun.id)


async def test_a_cancelled_login_takes_no_code_any_more(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    await counter.logins.cancel("alice", begun.id)
    with pytest.raises(LoginRefused, match="it was cancelled"):
        await counter.logins.code("alice", begun.id, CODE)
    assert counter.house.store.snapshot.sessions == {}


async def test_of_two_codes_that_race_one_is_taken(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    answers = await asyncio.gather(
        *(counter.logins.code("alice", begun.id, CODE) for _ in range(20)), return_exceptions=True
    )
    done = [answer for answer in answers if isinstance(answer, Login)]
    refused = {answer.code for answer in answers if isinstance(answer, LoginRefused)}
    assert [login.step for login in done] == [Step.DONE]
    assert refused == {"login_busy"}
    with pytest.raises(LoginRefused, match="done already"):
        await counter.logins.code("alice", begun.id, CODE)
    assert len(counter.house.store.snapshot.sessions) == 1
    assert counter.logins_at_telegram("ann") == 1


async def test_a_request_that_is_cut_off_while_telegram_answers_loses_no_login(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    counter.house.sandbox.add_fault({"do": "delay", "seconds": 0.3, "method": "auth.signIn"})
    request = asyncio.create_task(counter.logins.code("alice", begun.id, CODE))
    await asyncio.sleep(0)
    request.cancel()
    await until(lambda: counter.logins.status("alice", begun.id).step is Step.DONE, "the login all the same")


async def test_nobody_else_sees_or_answers_a_login(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    with pytest.raises(NotFound):
        counter.logins.status("mallory", begun.id)
    with pytest.raises(NotFound):
        await counter.logins.code("mallory", begun.id, CODE)


async def test_no_more_than_three_logins_of_one_user_at_once(counter: Counter) -> None:
    for _ in range(3):
        await counter.logins.begin("alice", ALICE, ANN)
    with pytest.raises(TooMany, match="finish or cancel one"):
        await counter.logins.begin("alice", ALICE, ANN)
    await counter.logins.begin("bob", Wish(owner="bob"), ANN)


async def test_an_answer_of_telegram_that_got_lost_loses_no_login(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    counter.house.sandbox.add_fault({"do": "drop_after", "method": "auth.signIn", "count": 1})
    assert (await counter.logins.code("alice", begun.id, CODE)).step is Step.DONE


async def test_a_connection_that_broke_before_the_code_came_is_made_anew(counter: Counter) -> None:
    begun = await counter.logins.begin("alice", ALICE, ANN)
    counter.house.sandbox.kick()
    assert (await counter.logins.code("alice", begun.id, CODE)).step is Step.DONE


async def test_a_data_centre_that_cannot_be_reached_is_said_to_be(counter: Counter) -> None:
    counter.house.sandbox.actions.drop(60)
    with pytest.raises(LoginRefused, match="could not be reached") as refused:
        await counter.logins.begin("alice", ALICE, ANN)
    assert refused.value.code == "telegram_unreachable"


async def test_a_second_login_of_an_account_renews_its_session(counter: Counter) -> None:
    house = counter.house
    await house.add_user("alice", ["@plaza"])
    first = await counter.logins.begin("alice", ALICE, ANN)
    done = await counter.logins.code("alice", first.id, CODE)
    assert done.session is not None
    house.sandbox.ban("ann", "revoked")
    await house.services.sessions.set_state(done.session, SessionState.NEEDS_LOGIN, "revoked")
    second = await counter.logins.begin("alice", ALICE, ANN)
    again = await counter.logins.code("alice", second.id, CODE)
    assert again.session == done.session
    assert house.store.snapshot.sessions[done.session].state is SessionState.READY
    await house.cycle("alice")
    assert house.texts("plaza") == ["Hello from alice"]


async def test_an_account_of_somebody_else_is_refused_and_logged_out_again(counter: Counter) -> None:
    first = await counter.logins.begin("alice", ALICE, ANN)
    await counter.logins.code("alice", first.id, CODE)
    second = await counter.logins.begin("bob", Wish(owner="bob"), ANN)
    with pytest.raises(AccountRefused, match=NOT_HERE):
        await counter.logins.code("bob", second.id, CODE)
    assert [session.owner for session in counter.house.store.snapshot.sessions.values()] == ["alice"]
    assert counter.logins_at_telegram("ann") == 1


async def test_an_account_that_lives_in_another_data_centre_is_logged_in_there(tmp_path: Path) -> None:
    far = World(accounts=[AccountSpec("far", phone=ANN, dc=4)], chats=[ChatSpec("plaza")], dcs=2)
    async for counter in counter_in(tmp_path, far):
        begun = await counter.logins.begin("alice", ALICE, ANN)
        done = await counter.logins.code("alice", begun.id, CODE)
        assert done.session is not None
        assert counter.house.store.snapshot.sessions[done.session].dc_id == 4


async def test_a_refused_api_pair_is_quarantined_at_once(counter: Counter) -> None:
    counter.house.sandbox.add_fault({"error": "API_ID_INVALID", "method": "auth.sendCode", "count": 1})
    with pytest.raises(LoginRefused, match="API pair"):
        await counter.logins.begin("alice", ALICE, ANN)
    assert counter.house.services.sessions.pairs.usable() == (1002,)
    begun = await counter.logins.begin("alice", ALICE, ANN)
    done = await counter.logins.code("alice", begun.id, CODE)
    assert counter.house.store.snapshot.sessions[done.session or ""].api_id == 1002
    # on the next pair


async def test_neither_code_nor_password_nor_number_reaches_a_log(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    begun = await counter.logins.begin("alice", ALICE, BOB)
    await counter.logins.code("alice", begun.id, CODE)
    await counter.logins.password("alice", begun.id, PASSWORD)
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("asyncio"))
    assert "Logged in" in ours
    for secret in (CODE, PASSWORD, BOB[1:].replace(" ", "")):
        assert secret not in ours
