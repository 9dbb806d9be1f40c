"""The bounds that a page knows before somebody meets them."""

from tests.api.support import Api


async def test_every_bound_that_is_told_is_the_one_that_is_enforced(api: Api, alice: dict[str, str]) -> None:
    told = (await api.http.get("/api/limits", headers=alice)).json()
    most = told["texts"]["text"]["most"]
    fits = await api.http.patch("/api/config", headers=alice, json={"post_content": "x" * most})
    too_long = await api.http.patch("/api/config", headers=alice, json={"post_content": "x" * (most + 1)})
    assert (fits.status_code, too_long.status_code) == (200, 422)
    groups = [f"@group{number:05}" for number in range(told["groups"] + 1)]
    assert (await api.http.patch("/api/config", headers=alice, json={"groups": groups[:-1]})).status_code == 200
    assert (await api.http.patch("/api/config", headers=alice, json={"groups": groups})).status_code == 422
    least = told["least_delay_between_cycles"]
    assert least > 0
    for delay, status in ((least, 200), (least - 1, 422), (told["delay_between_cycles"] + 1, 422)):
        answer = await api.http.patch("/api/config", headers=alice, json={"delay_between_cycles": delay})
        assert answer.status_code == status
    assert told["upload_bytes"] == 50_000_000
