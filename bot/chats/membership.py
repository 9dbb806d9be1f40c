"""What Telegram says to accounts that are not in a group."""

NOT_A_MEMBER = frozenset(
    {
        "CHANNEL_PARICIPANT_MISSING",
        "CHANNEL_ID_INVALID",
        "CHANNEL_INVALID",
        "CHANNEL_PRIVATE",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "CHAT_ID_EMPTY",
        "CHAT_ID_INVALID",
        "CHAT_INVALID",
        "MSG_ID_INVALID",
        "PEER_ID_INVALID",
        "USER_NOT_PARTICIPANT",
    }
)
"""Refusals that say this account is not in that group: another account of the user may be. Any other refusal is
about the account or the group, and posting through another account would get round it."""

REMOVED = "USER_KICKED"
"""The group's people took this account out: nobody stands in for it there."""

AMBIGUOUS = frozenset(
    {
        "CHANNEL_PRIVATE",
        "CHAT_ADMIN_REQUIRED",
        "CHAT_FORBIDDEN",
        "CHAT_SEND_MEDIA_FORBIDDEN",
        "CHAT_SEND_PLAIN_FORBIDDEN",
        "CHAT_WRITE_FORBIDDEN",
        "NOT_ALLOWED",
        "RIGHT_FORBIDDEN",
    }
)
"""Refusals that do not tell whether the account left the group, was taken out of it, or may not write there: that is
asked before they are believed."""
