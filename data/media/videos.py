"""Reads containers of video and sound with FFmpeg's libraries. Only a confined process imports this module.

Each container is opened with the one demuxer that belongs to its format, for some demuxers open other files.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from core.models import MediaKind
from data.media.formats import Content, Format, Still

THUMBNAIL_SIDE = 320
"""core.telegram.org/bots/api#sendvideo: JPEG, at most 320 pixels a side, less than 200 kB."""
_UNREADABLE = (av.FFmpegError, ValueError, ArithmeticError)


def measured(path: Path, media_type: str, form: Format) -> Content:
    """Return what the container says: the size and length of a video, or the length of sound."""
    try:
        with _opened(path, form) as container:
            video = _picture_stream(container) if form.kind is MediaKind.VIDEO else None
            if video is not None:
                return Content(media_type, *_size(video), _duration(container))
            if form.reader == "mov" and container.streams.audio:
                media_type = "audio/mp4"  # whatever its brand says
            return Content(media_type, duration=_duration(container))
    except _UNREADABLE:
        return Content(media_type)


def still_in(path: Path, form: Format) -> Still | None:
    """Return a small picture of what a video shows near its beginning; None where nothing can be decoded."""
    try:
        with _opened(path, form) as container:
            video = _picture_stream(container)
            return None if video is None or video.codec_context is None else _still(container, video)
    except _UNREADABLE:
        return None


def _opened(path: Path, form: Format) -> Any:
    options = {"protocol_whitelist": "file"}
    return av.open(f"file:{path}", format=form.reader, options=options, metadata_errors="ignore")


def _picture_stream(container: Any) -> Any:
    """Return the moving picture; the cover of a piece of music is none."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _size(video: Any) -> tuple[int | None, int | None]:
    codec = video.codec_context  # None: FFmpeg has none for it
    width, height = (codec.width, codec.height) if codec is not None else (None, None)
    if not width or not height:
        return None, None
    shown = round(width * float(video.sample_aspect_ratio or 1))
    return (shown, height) if shown else (None, None)


def _duration(container: Any) -> float | None:
    """Return what the container says. A recording that was streamed says nothing; its packets tell."""
    if container.duration is not None and container.duration > 0:
        return float(container.duration / av.time_base)
    end = 0.0
    for packet in container.demux():
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None and packet.time_base is not None:
            end = max(end, float((at + (packet.duration or 0)) * packet.time_base))
    return end or None


def _still(container: Any, video: Any) -> Still | None:
    video.codec_context.thread_count = 1
    for frame in _frames(container, video):
        aspect = float(video.sample_aspect_ratio or 1)
        width, height = frame.width * aspect, frame.height
        scale = min(1.0, THUMBNAIL_SIDE / max(width, height))
        small = frame.reformat(max(1, int(width * scale)), max(1, int(height * scale)), format="rgb24")
        image = small.to_image().rotate(frame.rotation, expand=True)
        written = io.BytesIO()
        image.save(written, "JPEG", quality=80)
        return Still(written.getvalue(), frame.rotation % 180 != 0)
    return None


def _frames(container: Any, video: Any) -> Iterator[Any]:
    """Yield one frame a tenth into the video, where the first is often black; then the first."""
    for moment in (container.duration // 10 if container.duration else 0, 0):
        try:
            container.seek(moment)
            frame = next(container.decode(video), None)
        except av.FFmpegError:
            continue
        if frame is not None:
            yield frame
