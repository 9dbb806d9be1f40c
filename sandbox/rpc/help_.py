"""help.*: the configuration that clients ask for first."""

from typing import Any

from telethon.tl import functions, types

from sandbox.rpc.call import Call, handles
from sandbox.rpc.posting import CAPTION_LENGTH, MESSAGE_LENGTH

HOUR = 3600


@handles(functions.help.GetConfigRequest, open_to_all=True)
def config(call: Call, _request: Any) -> Any:
    """Return addresses and limits. Works without a login, even with a revoked key."""
    centre = call.centre
    now = int(centre.now())
    return types.Config(
        date=now,
        expires=now + HOUR,
        test_mode=True,
        this_dc=call.dc_id,
        dc_options=[types.DcOption(dc_id, host, port, static=True) for dc_id, (host, port) in centre.addresses.items()],
        dc_txt_domain_name="",
        chat_size_max=200,
        megagroup_size_max=200_000,
        forwarded_count_max=100,
        online_update_period_ms=210_000,
        offline_blur_timeout_ms=5_000,
        offline_idle_timeout_ms=30_000,
        online_cloud_timeout_ms=300_000,
        notify_cloud_delay_ms=30_000,
        notify_default_delay_ms=1_500,
        push_chat_period_ms=60_000,
        push_chat_limit=2,
        edit_time_limit=172_800,
        revoke_time_limit=2**31 - 1,
        revoke_pm_time_limit=2**31 - 1,
        rating_e_decay=2_419_200,
        stickers_recent_limit=200,
        channels_read_media_period=604_800,
        call_receive_timeout_ms=20_000,
        call_ring_timeout_ms=90_000,
        call_connect_timeout_ms=30_000,
        call_packet_timeout_ms=10_000,
        me_url_prefix="https://t.me/",
        caption_length_max=CAPTION_LENGTH,
        message_length_max=MESSAGE_LENGTH,
        webfile_dc_id=call.dc_id,
    )


@handles(functions.help.GetAppConfigRequest, open_to_all=True)
def app_config(_call: Call, _request: Any) -> Any:
    """Return an empty app configuration."""
    return types.help.AppConfig(hash=1, config=types.JsonObject([]))


@handles(functions.help.GetNearestDcRequest, open_to_all=True)
def nearest_dc(call: Call, _request: Any) -> Any:
    """Return the main data centre as the nearest."""
    return types.NearestDc(country="", this_dc=call.dc_id, nearest_dc=call.centre.dc_id)
