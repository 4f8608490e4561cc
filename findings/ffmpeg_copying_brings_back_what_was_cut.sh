#!/usr/bin/env bash
# Cutting off the beginning of an MP4 film without encoding it anew leaves the packets in the file, and an edit list
# says from where on it is shown. Decoding with PyAV obeys it to the frame. But `demux()` hands out packets from before
# the cut like any others, the pictures from the last key frame on and up to a second of sound, which codecs need to get
# going. Only a negative time and `packet.is_discard`, of which PyAV's documentation gives no more than the name, tell
# that they are not to be shown. So the first packet is not the beginning. And copying packets into another container,
# as in PyAV's own example of remuxing, brings back what was cut: Matroska and MPEG-TS take no negative times, so the
# writer moves all to where they are none. What somebody took out, a name before a talk, is seen and heard in the copy,
# which is longer by that. Nothing is raised. A copy as MP4 is right, for its writer makes an edit list of the negative
# times. Leaving out the pictures is no remedy, for those that follow are made from them; these need encoding anew.
#
# PyAV 18.1.0 (FFmpeg 8.1.2, libavformat 62.12.102), Python 3.11, Linux. A film of 4 s, white and loud for 1.5 s and
# cut there, black and silent afterwards. Seen, seconds that are white, are loud, and in all:
#   the film 0.0 0.0 2.5    copied to mp4 0.0 0.0 2.5    to matroska 1.5 1.0 4.0    to mpegts 1.5 1.0 4.0
#   first packets: picture at -1.5, sound at -1.0; container.start_time 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6

cat > "$work/cut.py" <<'PY'
import io
from fractions import Fraction

import av
import numpy as np

CUT, SECONDS, PICTURES, RATE = 1.5, 4, 50, 48_000


def film():
    """MP4: times before 0 become an edit list."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        pictures = out.add_stream("libx264", rate=PICTURES, options={"sc_threshold": "0"})  # no key frame at the cut
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        pictures.width = pictures.height = 64
        pictures.pix_fmt, pictures.gop_size = "yuv420p", 250
        packets = []
        for number in range(SECONDS * PICTURES):
            shade = 255 if number < CUT * PICTURES else 0
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number - round(CUT * PICTURES), Fraction(1, PICTURES)
            packets += pictures.encode(frame)
        times = np.arange(SECONDS * RATE) / RATE
        samples = np.where(times < CUT, 0.5 * np.sin(2 * np.pi * 440 * times), 0).astype(np.float32)
        for first in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first - round(CUT * RATE), Fraction(1, RATE)
            packets += sound.encode(frame)
        packets += pictures.encode(None) + sound.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return file.getvalue()


def copy(data, container):
    """As in PyAV's documentation, "Remuxing"."""
    file = io.BytesIO()
    with av.open(io.BytesIO(data)) as given, av.open(file, "w", format=container) as out:
        streams = [out.add_stream_from_template(stream) for stream in given.streams]
        for packet in given.demux():
            if packet.dts is None:
                continue
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    return file.getvalue()


def shown(data):
    """Seconds that are white, are loud, and in all."""
    with av.open(io.BytesIO(data)) as file:
        pictures = [frame.to_ndarray(format="gray").mean() > 128 for frame in file.decode(video=0)]
        seconds = file.duration / 1e6
    with av.open(io.BytesIO(data)) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loud = np.abs(samples[: len(samples) // 480 * 480]).reshape(-1, 480).max(1) > 0.2
    return f"{sum(pictures) / PICTURES:.1f} {sum(loud) / 100:.1f} {seconds:.1f}"


data = film()
with av.open(io.BytesIO(data)) as file:
    first = {}
    for packet in file.demux():
        if packet.pts is not None:
            first.setdefault(packet.stream.type, f"{float(packet.pts * packet.time_base):.1f} {packet.is_discard}")
    print("first packets:", first["video"], first["audio"], file.start_time)
print("film", shown(data))
for container in ("mp4", "matroska", "mpegts"):
    print(container, shown(copy(data, container)))
PY

seen=$("$work/venv/bin/python" "$work/cut.py")
echo "$seen"
[ "$seen" = "first packets: -1.5 True -1.0 True 0
film 0.0 0.0 2.5
mp4 0.0 0.0 2.5
matroska 1.5 1.0 4.0
mpegts 1.5 1.0 4.0" ]
