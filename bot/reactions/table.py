"""What each error of Telegram means for a bot: the table, and nothing else.

Keyed by Telegram's own name with the numbers taken out (FLOOD_WAIT_30 is FLOOD_WAIT), so that one entry serves a class
of Telethon and a nameless error alike. Names from telethon.errors.rpcerrorlist 1.45 and core.telegram.org/api/errors.
A test goes through Telethon's whole list: what is missing here has to be named there as impossible.
"""

from telethon import errors as telegram

from bot.reactions.rules import (
    ARRIVED,
    BAD_CONTENT,
    BROKEN,
    DOES_NOT_FIT,
    FROZEN,
    HIDDEN_SOURCE,
    LEFT,
    LIMITED,
    LOGGED_OUT,
    NOT_UNDERSTOOD,
    PAIR,
    REFUSED,
    RETIRED,
    SLOW_MODE,
    STALE_MEDIA,
    TRANSIENT,
    UNCLEAR,
    UNCLEAR_ACCOUNT,
    UNREACHABLE,
    WAIT,
    Rule,
)

_AGAIN = "Telegram had trouble of its own."
_WAIT = "Telegram asked this account to wait; it goes on afterwards."
_LOGIN = "This account is no longer logged in and needs a new login."
_SPEAKS = "Telegram did not understand this program; it may need an update. The account rests meanwhile."
_LEFT = "The account is no longer this bot's."
_LINK = "Telegram knows no group by this name or link; check how it is written."
_MEDIA = "Telegram does not take this file; use another one."
_POLL = "Telegram does not take this poll; check its question and answers."
_UPLOAD = "The file did not arrive whole."
_BUTTONS = "Telegram does not take the buttons of this post."


def _codes(written: str) -> list[str]:
    """Return the codes that one text explains; one a line would hide the table behind lists."""
    return written.split()


_TROUBLE = _codes("""
    AUTH_RESTART CDN_UPLOAD_TIMEOUT CHAT_GET_FAILED CHP_CALL_FAIL DATE_EMPTY FILE_MIGRATE HISTORY_GET_FAILED
    INTERDC_CALL_ERROR INTERDC_CALL_RICH_ERROR MEMBER_NO_LOCATION MEMBER_OCCUPY_PRIMARY_LOC_FAILED
    MSGID_DECREASE_RETRY MSG_WAIT_FAILED MT_SEND_QUEUE_TOO_LONG NEED_CHAT_INVALID NEED_MEMBER_INVALID
    NETWORK_MIGRATE PERSISTENT_TIMESTAMP_EMPTY PERSISTENT_TIMESTAMP_INVALID PERSISTENT_TIMESTAMP_OUTDATED
    PHONE_MIGRATE POSTPONED_TIMEOUT PTS_CHANGE_EMPTY RANGES_INVALID REG_ID_GENERATE_FAILED RPC_CALL_FAIL
    RPC_MCGET_FAIL RSA_DECRYPT_FAILED SIGN_IN_FAILED STORAGE_CHECK_FAILED STORE_INVALID_SCALAR_TYPE TIMEDOUT
    UNKNOWN_ERROR USER_MIGRATE WORKER_BUSY_TOO_LONG_RETRY
""")
_NOT_UNDERSTOOD = _codes("""
    CDN_METHOD_INVALID CONNECTION_APP_VERSION_EMPTY CONNECTION_DEVICE_MODEL_EMPTY CONNECTION_LANG_PACK_INVALID
    CONNECTION_LAYER_INVALID CONNECTION_NOT_INITED CONNECTION_SYSTEM_EMPTY CONNECTION_SYSTEM_LANG_CODE_EMPTY
    DC_ID_INVALID INPUT_CONSTRUCTOR_INVALID INPUT_FETCH_ERROR INPUT_FETCH_FAIL INPUT_LAYER_INVALID
    INPUT_METHOD_INVALID INPUT_REQUEST_TOO_LONG METHOD_INVALID OFFSET_PEER_ID_INVALID
    TEMP_AUTH_KEY_ALREADY_BOUND TEMP_AUTH_KEY_EMPTY TYPE_CONSTRUCTOR_INVALID
""")
_BROKEN_UPLOADS = _codes("""
    FILE_ID_INVALID FILE_PARTS_INVALID FILE_PART_EMPTY FILE_PART_INVALID FILE_PART_LENGTH_INVALID
    FILE_PART_MISSING FILE_PART_SIZE_CHANGED FILE_PART_SIZE_INVALID FILE_PART_TOO_BIG MD5_CHECKSUM_INVALID
""")

_TABLE: tuple[tuple[Rule, dict[str, str]], ...] = (
    (
        RETIRED,
        {
            "USER_DEACTIVATED_BAN": "Telegram banned this account.",
            "USER_DEACTIVATED": "This account was deleted.",
            "PHONE_NUMBER_BANNED": "Telegram banned this account's phone number.",
        },
    ),
    (
        FROZEN,
        {
            "FROZEN_METHOD_INVALID": "Telegram froze this account; its owner can appeal in the Telegram app.",
            "FROZEN_PARTICIPANT_MISSING": "Telegram froze this account; its owner can appeal in the Telegram app.",
        },
    ),
    (
        LOGGED_OUT,
        {
            "AUTH_KEY_UNREGISTERED": _LOGIN,
            "AUTH_KEY_INVALID": _LOGIN,
            "AUTH_KEY_PERM_EMPTY": _LOGIN,
            "AUTH_KEY_DUPLICATED": "This login was used from two places at once, so Telegram ended it. Log in again, "
            "and use the new login only here.",
            "AUTH_KEY_NOT_FOUND": _LOGIN,
            "SECURITY_CHECK_FAILED": "The connection of this account failed a security check; log it in again.",
            "SESSION_REVOKED": "This login was ended from another device of the account; log it in again.",
            "SESSION_EXPIRED": _LOGIN,
            "SESSION_PASSWORD_NEEDED": "The account asks for its two-step password; finish the login.",
            "ACTIVE_USER_REQUIRED": _LOGIN,
            "UPDATE_APP_TO_LOGIN": "Telegram wants a newer program; update Postfleet, then log in again.",
            "BOT_METHOD_INVALID": "This is a bot account, and bots may not do this; log in a person's account.",
            # What a person meets while logging in.
            "AUTH_BYTES_INVALID": _LOGIN,
            "AUTH_TOKEN_ALREADY_ACCEPTED": "This QR code was used before; show a new one.",
            "AUTH_TOKEN_EXCEPTION": "The QR login failed; show a new code.",
            "AUTH_TOKEN_EXPIRED": "The QR code is too old; show a new one.",
            "AUTH_TOKEN_INVALID": "This QR code is not valid; show a new one.",
            "AUTH_TOKEN_INVALID2": "This QR code is not valid; show a new one.",
            "AUTH_TOKEN_INVALIDX": "This QR code is not valid; show a new one.",
            "CODE_EMPTY": "The login code is missing.",
            "CODE_INVALID": "The login code is wrong.",
            "PASSWORD_EMPTY": "The two-step password is missing.",
            "PASSWORD_HASH_INVALID": "The two-step password is wrong.",
            "PHONE_CODE_EMPTY": "The login code is missing.",
            "PHONE_CODE_EXPIRED": "The login code is too old; ask for a new one.",
            "PHONE_CODE_HASH_EMPTY": "Start the login again: this one lost its beginning.",
            "PHONE_CODE_INVALID": "The login code is wrong.",
            "PHONE_HASH_EXPIRED": "The login took too long; start it again.",
            "PHONE_NUMBER_APP_SIGNUP_FORBIDDEN": "There is no account with this phone number.",
            "PHONE_NUMBER_INVALID": "This is no phone number Telegram knows; write it with + and the country code.",
            "PHONE_NUMBER_UNOCCUPIED": "There is no account with this phone number.",
            "PHONE_PASSWORD_PROTECTED": "This phone number is protected by a password; log in in Telegram's app first.",
            "SEND_CODE_UNAVAILABLE": "Telegram has no further way to send a code; wait and start the login again.",
            "SMS_CODE_CREATE_FAILED": "Telegram could not send a code; start the login again.",
            "SRP_ID_INVALID": "The password check took too long; enter the password again.",
            "SRP_PASSWORD_CHANGED": "The two-step password was changed meanwhile; enter the new one.",
        },
    ),
    (
        PAIR,
        {
            "API_ID_INVALID": "Telegram does not accept this api_id with its api_hash.",
            "CONNECTION_API_ID_INVALID": "Telegram does not accept this api_id.",
            "API_ID_PUBLISHED_FLOOD": "This api_id was published somewhere and Telegram does not accept it any more.",
        },
    ),
    (
        LIMITED,
        {
            "PEER_FLOOD": "Telegram limited this account because of complaints; ask @SpamBot for how long. It rests.",
            "USER_RESTRICTED": "Telegram restricted this account; ask @SpamBot for how long. It rests.",
            "PHONE_NUMBER_FLOOD": "Too many login codes were asked for; wait a day before the next.",
            "PHONE_PASSWORD_FLOOD": "Too many wrong logins; wait a day before the next.",
        },
    ),
    (
        WAIT,
        {
            "FLOOD_WAIT": _WAIT,
            "FLOOD_PREMIUM_WAIT": _WAIT,
            "FLOOD_TEST_PHONE_WAIT": _WAIT,
            "TAKEOUT_INIT_DELAY": _WAIT,
            "SESSION_TOO_FRESH": "This login is too new for that; it goes on after a wait.",
            "PASSWORD_TOO_FRESH": "The two-step password is too new for that; it goes on after a wait.",
            "2FA_CONFIRM_WAIT": _WAIT,
        },
    ),
    (LEFT, {"ACCOUNT_REFUSED": _LEFT, "SESSION_DELETED": _LEFT}),
    (BROKEN, {"NOT_READY": "The account cannot be used."}),
    (HIDDEN_SOURCE, {"SOURCE_UNAVAILABLE": "This account cannot see the message to forward."}),
    (DOES_NOT_FIT, {"DOES_NOT_FIT_HERE": "The post is too long with what its placeholders stand for in this group."}),
    (SLOW_MODE, {"SLOWMODE_WAIT": "The group is in slow mode; this account's next post has to wait."}),
    (
        REFUSED,
        {
            "CHAT_WRITE_FORBIDDEN": "This account may not write in this group.",
            "CHAT_FORBIDDEN": "This account may not write in this group.",
            "CHAT_RESTRICTED": "Telegram restricted this group.",
            "CHAT_ADMIN_REQUIRED": "Only administrators may post here.",
            "CHAT_GUEST_SEND_FORBIDDEN": "Only members may write here; let this account join first.",
            "CHAT_SEND_PLAIN_FORBIDDEN": "The group does not take text messages.",
            "CHAT_SEND_MEDIA_FORBIDDEN": "The group does not take media.",
            "CHAT_SEND_PHOTOS_FORBIDDEN": "The group does not take photos.",
            "CHAT_SEND_VIDEOS_FORBIDDEN": "The group does not take videos.",
            "CHAT_SEND_ROUNDVIDEOS_FORBIDDEN": "The group does not take round videos.",
            "CHAT_SEND_AUDIOS_FORBIDDEN": "The group does not take audio.",
            "CHAT_SEND_VOICES_FORBIDDEN": "The group does not take voice messages.",
            "CHAT_SEND_DOCS_FORBIDDEN": "The group does not take documents.",
            "CHAT_SEND_GIFS_FORBIDDEN": "The group does not take GIFs.",
            "CHAT_SEND_STICKERS_FORBIDDEN": "The group does not take stickers.",
            "CHAT_SEND_POLL_FORBIDDEN": "The group does not take polls.",
            "CHAT_SEND_GAME_FORBIDDEN": "The group does not take games.",
            "CHAT_SEND_INLINE_FORBIDDEN": "The group does not take posts made through inline bots.",
            "VOICE_MESSAGES_FORBIDDEN": "This person does not take voice messages.",
            "USER_BANNED_IN_CHANNEL": "This account is banned from writing in this group.",
            "USER_NOT_PARTICIPANT": "This account is not a member of this group.",
            "CHANNEL_PARICIPANT_MISSING": "This account is not a member of this group.",
            "USER_KICKED": "This account was removed from this group.",
            "USER_IS_BLOCKED": "This person blocked the account.",
            "USER_BLOCKED": "This person blocked the account.",
            "YOU_BLOCKED_USER": "This account blocked this person.",
            "USER_IS_BOT": "Bots do not take messages from this account.",
            "USER_PRIVACY_RESTRICTED": "This person's privacy settings do not allow it.",
            "INPUT_USER_DEACTIVATED": "The person this would go to deleted their account.",
            "BROADCAST_FORBIDDEN": "This cannot be posted in a channel.",
            "BROADCAST_PUBLIC_VOTERS_FORBIDDEN": "A channel takes only anonymous polls.",
            "RIGHT_FORBIDDEN": "This account's rights in the group do not allow it.",
            "NOT_ALLOWED": "The group does not allow it.",
            "TOPIC_DELETED": "The topic was deleted.",
            "TOPIC_CLOSED": "The topic is closed.",
            "TOPIC_ID_INVALID": "There is no such topic in this group; copy the topic's link, or name the group alone.",
            "CHANNEL_FORUM_MISSING": "The group has no topics.",
            "SEND_AS_PEER_INVALID": "This account may not post in the name of that channel.",
            "PREMIUM_ACCOUNT_REQUIRED": "Only Telegram Premium accounts may post this here.",
            "PRIVACY_PREMIUM_REQUIRED": "Only Telegram Premium accounts may write here.",
            "ALLOW_PAYMENT_REQUIRED": "The group asks for payment for each message.",
            "BALANCE_TOO_LOW": "The group asks for payment for each message, and the account has no Stars.",
            "SLOWMODE_MULTI_MSGS_DISABLED": "The group is in slow mode and does not take several messages at once.",
            "PIN_RESTRICTED": "This account may not pin messages here.",
            "CHAT_TOO_BIG": "The group is too big for this.",
        },
    ),
    (
        UNREACHABLE,
        {
            "CHANNEL_PRIVATE": "The group is private, and this account is not in it (or was banned from it).",
            "CHANNEL_INVALID": "This account does not know this group, or the group is gone.",
            "CHANNEL_BANNED": "Telegram banned this group.",
            "CHANNEL_ID_INVALID": "This account does not know this group, or the group is gone.",
            "CHANNEL_PUBLIC_GROUP_NA": "This group is not available to the account.",
            "CHAT_INVALID": "This account does not know this group, or the group is gone.",
            "CHAT_ID_INVALID": "This account does not know this group, or the group is gone.",
            "CHAT_ID_EMPTY": "This account does not know this group, or the group is gone.",
            "PEER_ID_INVALID": "This account does not know this group, or the group is gone.",
            "PEER_ID_NOT_SUPPORTED": "Telegram does not take posts to this kind of chat.",
            "USER_ID_INVALID": "This account does not know this person.",
            "USER_INVALID": "This account does not know this person.",
            "MSG_ID_INVALID": "This account does not know this group, or the group is gone.",
            "USERNAME_INVALID": _LINK,
            "USERNAME_NOT_OCCUPIED": _LINK,
            "INVITE_HASH_EMPTY": "The invite link is not complete; copy it again.",
            "INVITE_HASH_EXPIRED": "The invite link is no longer valid; use a new one or the group's name.",
            "INVITE_HASH_INVALID": "The invite link is not right; copy it again.",
        },
    ),
    (NOT_UNDERSTOOD, dict.fromkeys(_NOT_UNDERSTOOD, _SPEAKS)),
    (
        BAD_CONTENT,
        {
            "INVALID_INPUT": "The post cannot be sent as it is written.",
            "MESSAGE_EMPTY": "The post has no text Telegram can show.",
            "MESSAGE_TOO_LONG": "The text is longer than Telegram takes (4,096 characters).",
            "MEDIA_CAPTION_TOO_LONG": "The caption is longer than Telegram takes (1,024 characters).",
            "ENTITIES_TOO_LONG": "The formatting is longer than Telegram takes; use less of it.",
            "ENTITY_BOUNDS_INVALID": "The formatting does not fit the text.",
            "ENTITY_MENTION_USER_INVALID": "The text mentions a person this account does not know.",
            "INPUT_TEXT_EMPTY": "The post has no text Telegram can show.",
            "MEDIA_EMPTY": _MEDIA,
            "MEDIA_INVALID": _MEDIA,
            "MEDIA_TTL_INVALID": _MEDIA,
            "TTL_MEDIA_INVALID": _MEDIA,
            "DOCUMENT_INVALID": _MEDIA,
            "FILE_CONTENT_TYPE_INVALID": _MEDIA,
            "FILE_EMTPY": "The file is empty.",
            "FILE_TITLE_EMPTY": "The file has no name.",
            "AUDIO_TITLE_EMPTY": "The audio file has no title.",
            "VIDEO_TITLE_EMPTY": "The video has no title.",
            "GIF_CONTENT_TYPE_INVALID": _MEDIA,
            "GIF_ID_INVALID": _MEDIA,
            "MEDIA_GROUPED_INVALID": "These files cannot stand in one album; photos and videos go together, other "
            "kinds only with their own.",
            "GROUPED_MEDIA_INVALID": "These files cannot stand in one album.",
            "MULTI_MEDIA_TOO_LONG": "The album has more than 10 files.",
            "ALBUM_PHOTOS_TOO_MANY": "The album has too many photos.",
            "IMAGE_PROCESS_FAILED": "Telegram could not read this picture; use another one.",
            "PHOTO_CONTENT_TYPE_INVALID": "This file is not a picture Telegram can read.",
            "PHOTO_EXT_INVALID": "This kind of picture is not taken; use JPEG or PNG.",
            "PHOTO_ID_INVALID": _MEDIA,
            "PHOTO_INVALID": "Telegram could not read this picture; use another one.",
            "PHOTO_INVALID_DIMENSIONS": "The picture is too large, too small or too narrow; send it as a document "
            "or resize it.",
            "PHOTO_SAVE_FILE_INVALID": "Telegram could not save this picture; use another one.",
            "STICKER_INVALID": _MEDIA,
            "STICKER_ID_INVALID": _MEDIA,
            "VIDEO_CONTENT_TYPE_INVALID": "Telegram could not read this video; use MP4.",
            "VIDEO_FILE_INVALID": "Telegram could not read this video; use MP4.",
            "GAME_BOT_INVALID": "This game cannot be posted.",
            "GEO_POINT_INVALID": "This place does not exist.",
            "EXTERNAL_URL_INVALID": "Telegram cannot use this link as a file.",
            "URL_INVALID": "A link in the post is not right.",
            "WEBPAGE_CURL_FAILED": "Telegram could not open the link of this post.",
            "WEBPAGE_MEDIA_EMPTY": "Telegram found nothing to show behind the link of this post.",
            "WEBPAGE_NOT_FOUND": "Telegram found nothing to show behind the link of this post.",
            "WEBPAGE_URL_INVALID": "A link in the post is not right.",
            "CHAT_FORWARDS_RESTRICTED": "The message comes from a group that does not let its messages be forwarded.",
            "MESSAGE_IDS_EMPTY": "The message to forward is missing.",
            "MESSAGE_ID_INVALID": "The message to forward is gone, or cannot be forwarded.",
            "REPLY_MESSAGE_ID_INVALID": "The message this answers is gone.",
            "QUOTE_TEXT_INVALID": "The quoted words do not stand in the message this answers.",
            "POLL_ANSWERS_INVALID": "A poll needs 2 to 10 answers.",
            "POLL_ANSWER_INVALID": "An answer of the poll is empty or too long.",
            "POLL_OPTION_DUPLICATE": "Two answers of the poll are the same.",
            "POLL_OPTION_INVALID": _POLL,
            "POLL_QUESTION_INVALID": "The poll's question is empty or too long.",
            "POLL_UNSUPPORTED": _POLL,
            "OPTIONS_TOO_MUCH": "The poll has too many answers.",
            "QUIZ_ANSWER_MISSING": "This quiz can be copied only after it was answered.",
            "QUIZ_CORRECT_ANSWERS_EMPTY": "A quiz needs its right answer.",
            "QUIZ_CORRECT_ANSWERS_TOO_MUCH": "A quiz has only one right answer.",
            "QUIZ_CORRECT_ANSWER_INVALID": "The right answer of the quiz is not one of its answers.",
            "QUIZ_MULTIPLE_INVALID": "A quiz cannot have several right answers.",
            "BUTTON_DATA_INVALID": _BUTTONS,
            "BUTTON_TEXT_INVALID": _BUTTONS,
            "BUTTON_TYPE_INVALID": _BUTTONS,
            "BUTTON_URL_INVALID": "A button's link is not right.",
            "BUTTON_USER_PRIVACY_RESTRICTED": _BUTTONS,
            "REPLY_MARKUP_BUY_EMPTY": _BUTTONS,
            "REPLY_MARKUP_GAME_EMPTY": _BUTTONS,
            "REPLY_MARKUP_INVALID": _BUTTONS,
            "REPLY_MARKUP_TOO_LONG": _BUTTONS,
            "PAYMENT_PROVIDER_INVALID": "Bills cannot be posted.",
            "CURRENCY_TOTAL_AMOUNT_INVALID": "Bills cannot be posted.",
        },
    ),
    (
        STALE_MEDIA,
        {
            "FILE_REFERENCE_EMPTY": "Telegram's handle of the file grew old.",
            "FILE_REFERENCE_EXPIRED": "Telegram's handle of the file grew old.",
            "FILE_REFERENCE_INVALID": "Telegram's handle of the file grew old.",
            "FILEREF_UPGRADE_NEEDED": "Telegram's handle of the file grew old.",
            **dict.fromkeys(_BROKEN_UPLOADS, _UPLOAD),
            "LOCATION_INVALID": "Telegram's handle of the file grew old.",
        },
    ),
    (
        TRANSIENT,
        {
            "TIMEOUT": "Telegram did not answer in time.",
            "SESSION_IN_USE": "Another process works with this account just now.",
            "CONNECTION_ERROR": "The connection to Telegram broke.",
            **dict.fromkeys(_TROUBLE, _AGAIN),
        },
    ),
    (ARRIVED, {"RANDOM_ID_DUPLICATE": "The post had arrived before; it counts once."}),
    (
        UNCLEAR,
        {
            "RANDOM_ID_EMPTY": "Telegram did not take the post for a reason of this program's; tried again later.",
            "RANDOM_ID_INVALID": "Telegram did not take the post for a reason of this program's; tried again later.",
        },
    ),
)

BY_CODE: dict[str, tuple[Rule, str]] = {
    code: (rule, explanation) for rule, rows in _TABLE for code, explanation in rows.items()
}
"""Code → what it means and how to say it."""

UNNAMED: tuple[tuple[type[Exception], tuple[Rule, str]], ...] = (
    (telegram.FloodError, (WAIT, _WAIT)),
    (telegram.ServerError, (TRANSIENT, _AGAIN)),
    (telegram.TimedOutError, (TRANSIENT, _AGAIN)),
    (telegram.InvalidDCError, (TRANSIENT, _AGAIN)),
    # 401 speaks of the login, not of a group; but only a name from the table ends a login.
    (telegram.UnauthorizedError, (UNCLEAR_ACCOUNT, "Telegram refused this account without a known reason.")),
)
"""For names that the table does not know, by the class of the error. 406 (AuthKeyError) is missing on purpose:
Telegram refuses single groups that way (TOPIC_CLOSED for one), so the class says nothing about the login."""

UNKNOWN: tuple[Rule, str] = (UNCLEAR, "Something unexpected kept this post from the group; tried again later.")
"""Everything else holds the smallest scope there is."""
