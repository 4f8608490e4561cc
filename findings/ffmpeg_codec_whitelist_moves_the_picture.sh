#!/usr/bin/env bash
# A program that only wants the sound of files from anywhere lets FFmpeg open no decoders of pictures, by the option
# `codec_whitelist`, which is for safety. One would guess that this changes nothing but what can be decoded: times stand
# in the file, and packets have the same ones as before. But for H.264 in Matroska, as common a film as there is, the
# `start_time` of the picture is then that of the sound, and the container's as well. It seems that FFmpeg waits for the
# decoder to say which picture comes first; without it that stays unknown, and what is unknown is filled in from the
# other streams. A film with sound from 4 s on begins at 4 s, by all that can be asked: its sound is taken to begin with
# it, and subtitles made of it are 4 s early. And pictures from 4 s on begin at 0. MPEG-4, HEVC and VP8 in Matroska and
# H.264 in MP4 and MPEG-TS are right, so that tests with these show nothing. Nothing is raised. The first packet of the
# picture tells the truth, and with `h264` on the list all is as without a list.
#
# PyAV 18.1.0 (FFmpeg 8.1.2, libavformat 62.12.102), Python 3.11, Linux. Seen, seconds at which picture, sound and
# container begin, at first, then with the decoder of the sound alone:
#   matroska libx264, sound late: 0 4 0, then 4 4 4       picture late: 4 0 0, then 0 0 0
#   the same with h264 on the list: 0 4 0                 first packet of the picture: 0, then 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6

cat > "$work/begin.py" <<'PY'
import io
from fractions import Fraction

import av
import numpy as np

SECONDS, PICTURES, RATE = 2, 25, 48_000


def film(container, codec, picture_start, sound_start):
    """Grey pictures and silence, each from a second on."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        pictures, sound = out.add_stream(codec, rate=PICTURES), out.add_stream("libopus", rate=RATE, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        packets = []
        for number in range(SECONDS * PICTURES):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + picture_start * PICTURES, Fraction(1, PICTURES)
            packets += pictures.encode(frame)
        for first in range(0, SECONDS * RATE, 960):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first + sound_start * RATE, Fraction(1, RATE)
            packets += sound.encode(frame)
        packets += pictures.encode(None) + sound.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return file.getvalue()


def begin(data, codecs=None):
    """Whole seconds at which picture, sound and container begin, and the first packet of the picture."""
    options = {"codec_whitelist": codecs} if codecs else {}
    with av.open(io.BytesIO(data), container_options=options) as file:
        times = [float(stream.start_time * stream.time_base) for stream in file.streams]
        packet = next(packet for packet in file.demux(video=0))
        times += [file.start_time / 1e6, float(packet.pts * packet.time_base)]
    return " ".join(f"{time:.0f}" for time in times)


late_sound, late_picture = film("matroska", "libx264", 0, 4), film("matroska", "libx264", 4, 0)
print("sound late:", begin(late_sound), "then", begin(late_sound, "libopus"))
print("picture late:", begin(late_picture), "then", begin(late_picture, "libopus"))
print("with h264 on the list:", begin(late_sound, "libopus,h264"))
for container, codec in (
    ("matroska", "mpeg4"),
    ("matroska", "libx265"),
    ("matroska", "libvpx"),
    ("mp4", "libx264"),
    ("mpegts", "libx264"),
):
    data = film(container, codec, 0, 4)
    print(container, codec, "same" if begin(data) == begin(data, "libopus") else "other")
PY

# libx265 writes to stderr
seen=$("$work/venv/bin/python" "$work/begin.py" 2> "$work/log") || { cat "$work/log" >&2; exit 1; }
echo "$seen"
[ "$seen" = "sound late: 0 4 0 0 then 4 4 4 0
picture late: 4 0 0 4 then 0 0 0 4
with h264 on the list: 0 4 0 0
matroska mpeg4 same
matroska libx265 same
matroska libvpx same
mp4 libx264 same
mpegts libx264 same" ]
