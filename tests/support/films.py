"""Real videos and sounds for tests, made when they are needed: nothing binary stands in the repository."""

import io
from fractions import Fraction
from typing import Any

import av
from PIL import Image

RATE = 48_000


def film(
    form: str = "mp4",
    size: tuple[int, int] = (64, 48),
    seconds: int = 2,
    *,
    turned: int = 0,
    pixel: Fraction | None = None,
    streamed: bool = False,
) -> bytes:
    """A video: black at its beginning, then red on the left and blue on the right.

    `turned` is how far players turn it, in degrees against the clock; `pixel` the shape of its pixels; `streamed` one
    does not say how long it is.
    """
    written = io.BytesIO()
    options = {"live": "1"} if streamed else {}
    with av.open(written, "w", format={"mkv": "matroska"}.get(form, form), options=options) as container:
        video = container.add_stream("libvpx" if form == "webm" else "mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        if pixel is not None:
            video.codec_context.sample_aspect_ratio = pixel
        if turned:
            video.set_display_rotation(turned)
        for number in range(seconds * 10):
            picture = Image.new("RGB", size, "blue" if number else "black")
            if number:
                picture.paste("red", (0, 0, size[0] // 2, size[1]))
            frame: Any = av.VideoFrame
            container.mux(video.encode(frame.from_image(picture)))
        container.mux(video.encode(None))
    return written.getvalue()


def sound(form: str = "mp3", seconds: int = 3) -> bytes:
    """Silence."""
    codec, container_form = {
        "mp3": ("libmp3lame", "mp3"),
        "m4a": ("aac", "ipod"),
        "ogg": ("libopus", "ogg"),
        "flac": ("flac", "flac"),
        "wav": ("pcm_s16le", "wav"),
    }[form]
    written = io.BytesIO()
    with av.open(written, "w", format=container_form) as container:
        audio: Any = container.add_stream(codec, rate=RATE, layout="mono")
        step = RATE // 50
        for number in range(seconds * 50):
            frame = av.AudioFrame("s16", "mono", step)
            frame.sample_rate, frame.pts, frame.time_base = RATE, number * step, Fraction(1, RATE)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return written.getvalue()
