"""upload.*, and the media of messages."""

from random import Random
from typing import Any

from telethon.tl import functions, types

from sandbox.errors import RpcError
from sandbox.rpc import texts
from sandbox.rpc.call import Call, handles
from sandbox.state.files import StoredFile

MAX_DOWNLOAD = 1024 * 1024
DOWNLOAD_STEP = 1024
POLL_ANSWERS = range(2, 13)
POLL_QUESTION_LENGTH = 255
POLL_ANSWER_LENGTH = 100
POLL_OPTION_BYTES = 100


@handles(functions.upload.SaveFilePartRequest, writes=True)
def save_part(call: Call, request: Any) -> bool:
    """Keep one part of a file of up to 10 MB."""
    call.centre.files.save_part(call.me.uploads, request.file_id, request.file_part, request.bytes)
    return True


@handles(functions.upload.SaveBigFilePartRequest, writes=True)
def save_big_part(call: Call, request: Any) -> bool:
    """Keep one part of a file above 10 MB."""
    if request.file_part >= request.file_total_parts >= 0:
        raise RpcError("FILE_PART_INVALID")
    call.centre.files.save_part(call.me.uploads, request.file_id, request.file_part, request.bytes)
    return True


@handles(functions.upload.GetFileRequest)
def get_file(call: Call, request: Any) -> Any:
    """Return part of a file. As on Telegram, offset and limit are whole kilobytes, the limit at most 1 MB."""
    stored = _located(call, request.location)
    if stored.dc_id != call.dc_id:
        raise RpcError(f"FILE_MIGRATE_{stored.dc_id}")
    if request.offset < 0 or request.offset % DOWNLOAD_STEP:
        raise RpcError("OFFSET_INVALID")
    if not 0 < request.limit <= MAX_DOWNLOAD or request.limit % DOWNLOAD_STEP:
        raise RpcError("LIMIT_INVALID")
    whole = stored.data
    if isinstance(stored.tl, types.Document) and request.location.thumb_size:
        whole = stored.thumbnail
    data = whole[request.offset : request.offset + request.limit]
    kind = types.storage.FileJpeg() if isinstance(stored.tl, types.Photo) else types.storage.FileUnknown()
    return types.upload.File(type=kind, mtime=int(call.centre.now()), bytes=data)


def _located(call: Call, location: Any) -> StoredFile:
    if isinstance(location, types.InputPhotoFileLocation):
        return call.centre.files.find(location, types.Photo, "LOCATION_INVALID")
    if isinstance(location, types.InputDocumentFileLocation):
        return call.centre.files.find(location, types.Document, "LOCATION_INVALID")
    raise RpcError("LOCATION_INVALID")


@handles(functions.messages.UploadMediaRequest, writes=True)
def upload_media(call: Call, request: Any) -> Any:
    """Turn an uploaded file into media without sending it, as albums need."""
    call.centre.chat_from(call.me, request.peer)
    return media_from(call, request.media)[1]


def media_from(call: Call, wanted: Any) -> tuple[str, Any]:
    """Return the kind and the MessageMedia that an InputMedia stands for. Raises RpcError."""
    files, now = call.centre.files, call.centre.now()
    if isinstance(wanted, types.InputMediaUploadedPhoto):
        data = files.assemble(call.me.uploads, wanted.file)
        return "photo", types.MessageMediaPhoto(photo=files.photo(data, now, call.dc_id).tl, spoiler=wanted.spoiler)
    if isinstance(wanted, types.InputMediaUploadedDocument):
        data = files.assemble(call.me.uploads, wanted.file)
        thumbnail = files.assemble(call.me.uploads, wanted.thumb) if wanted.thumb is not None else b""
        stored = files.document(data, wanted.mime_type, wanted.attributes, now, call.dc_id, thumbnail)
        return _document(stored, spoiler=wanted.spoiler)
    if isinstance(wanted, types.InputMediaPhoto):
        stored = files.find(wanted.id, types.Photo, "PHOTO_INVALID")
        return "photo", types.MessageMediaPhoto(photo=stored.tl, spoiler=wanted.spoiler)
    if isinstance(wanted, types.InputMediaDocument):
        stored = files.find(wanted.id, types.Document, "DOCUMENT_INVALID")
        return _document(stored, spoiler=wanted.spoiler)
    if isinstance(wanted, types.InputMediaPoll):
        return "poll", _poll(call, wanted)
    plain = _plain_media(call, wanted)
    if plain is not None:
        return plain
    if isinstance(wanted, types.InputMediaEmpty):
        raise RpcError("MEDIA_EMPTY")
    raise RpcError("MEDIA_INVALID")


def _plain_media(call: Call, wanted: Any) -> tuple[str, Any] | None:
    if isinstance(wanted, types.InputMediaDice):
        value = Random(f"{call.centre.world.seed}/dice/{call.centre.seq}").randint(1, 6)
        return "dice", types.MessageMediaDice(value=value, emoticon=wanted.emoticon)
    if isinstance(wanted, types.InputMediaContact):
        return "contact", types.MessageMediaContact(
            wanted.phone_number, wanted.first_name, wanted.last_name, wanted.vcard, user_id=0
        )
    if isinstance(wanted, types.InputMediaGeoPoint):
        return "geo", types.MessageMediaGeo(_point(wanted.geo_point))
    if isinstance(wanted, types.InputMediaVenue):
        return "geo", types.MessageMediaVenue(
            _point(wanted.geo_point), wanted.title, wanted.address, wanted.provider, wanted.venue_id, wanted.venue_type
        )
    return None


def _point(point: Any) -> Any:
    if not isinstance(point, types.InputGeoPoint):
        raise RpcError("MEDIA_INVALID")
    return types.GeoPoint(long=point.long, lat=point.lat, access_hash=0)


def _document(stored: StoredFile, *, spoiler: bool | None) -> tuple[str, Any]:
    kind = document_kind(stored.tl)
    media = types.MessageMediaDocument(
        document=stored.tl,
        spoiler=spoiler,
        video=kind in {"video", "round"} or None,
        round=kind == "round" or None,
        voice=kind == "voice" or None,
    )
    return kind, media


def document_kind(document: Any) -> str:
    """Return the kind of message that a document is, going by its attributes."""
    kind = "document"
    for attribute in document.attributes:
        if isinstance(attribute, types.DocumentAttributeAnimated):
            return "gif"
        if isinstance(attribute, types.DocumentAttributeSticker):
            return "sticker"
        if isinstance(attribute, types.DocumentAttributeAudio):
            kind = "voice" if attribute.voice else "audio"
        elif isinstance(attribute, types.DocumentAttributeVideo):
            kind = "round" if attribute.round_message else "video"
    return kind


def _poll(call: Call, wanted: Any) -> Any:
    """Accept answers without options (`inputPollAnswer`, as clients of this layer send) and with (`pollAnswer`)."""
    poll = wanted.poll
    poll.question = _poll_text(poll.question, POLL_QUESTION_LENGTH, "POLL_QUESTION_INVALID")
    poll.answers = [_answer(answer, place) for place, answer in enumerate(poll.answers)]
    options = [answer.option for answer in poll.answers]
    if len(options) not in POLL_ANSWERS:
        raise RpcError("POLL_ANSWERS_INVALID")
    if len(set(options)) != len(options) or len({answer.text.text for answer in poll.answers}) != len(options):
        raise RpcError("POLL_OPTION_DUPLICATE")
    _check_quiz(wanted)
    poll.id = call.centre.seq + 1
    return types.MessageMediaPoll(poll=poll, results=types.PollResults(total_voters=0))


def _answer(answer: Any, place: int) -> Any:
    text = _poll_text(answer.text, POLL_ANSWER_LENGTH, "POLL_ANSWER_INVALID")
    option = bytes([place]) if isinstance(answer, types.InputPollAnswer) else answer.option
    if not 1 <= len(option) <= POLL_OPTION_BYTES:
        raise RpcError("POLL_OPTION_INVALID")
    return types.PollAnswer(text, option)


def _poll_text(text: Any, most: int, wrong: str) -> Any:
    words = texts.clean(text.text)
    if texts.is_empty(words) or len(words) > most:
        raise RpcError(wrong)
    return types.TextWithEntities(words, text.entities)


def _check_quiz(wanted: Any) -> None:
    correct = wanted.correct_answers or []
    if not wanted.poll.quiz:
        if correct:
            raise RpcError("QUIZ_CORRECT_ANSWERS_TOO_MUCH")
        return
    if not correct:
        raise RpcError("QUIZ_CORRECT_ANSWERS_EMPTY")
    if len(correct) > 1:
        raise RpcError("QUIZ_CORRECT_ANSWERS_TOO_MUCH")
    if wanted.poll.multiple_choice:
        raise RpcError("QUIZ_MULTIPLE_INVALID")
    if not 0 <= correct[0] < len(wanted.poll.answers):
        raise RpcError("QUIZ_CORRECT_ANSWER_INVALID")
