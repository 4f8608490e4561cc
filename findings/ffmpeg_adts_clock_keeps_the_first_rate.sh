#!/usr/bin/env bash
# Raw AAC (.aac, ADTS) says in the header of every frame how many samples per second it has, and two files of it one
# after the other are such a file again. Where the rate changes on the way, FFmpeg decodes all of it, and every frame
# has the right `sample_rate` and number of samples. But the clock keeps the rate of the first frame for ever: four
# seconds at 22,050 Hz after some at 44,100 Hz get times that run over two, and in the other order over eight. Files of
# MP3, MP2 and AC-3 joined in the same way get right times, so that a test with these shows nothing. Who puts sound
# where `frame.time` says lays it over itself, cuts it or leaves gaps; nothing is raised. In such a file samples have to
# be counted.
#
# PyAV 18.1.0 (FFmpeg 8.1.2, libavformat 62.12.102), Python 3.11, Linux. Seen, seconds of sound at the second rate, and
# seconds of its time stamps:
#   adts 44100 22050: 4.1 2.0      adts 22050 44100: 4.0 8.0
#   mp3 44100 22050: 4.0 4.0       mp2 44100 22050: 4.0 3.9      ac3 48000 32000: 4.0 4.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6

cat > "$work/clock.py" <<'PY'
import io

import av
import numpy as np

SECONDS = 4


def written(container, codec, rate):
    """A file of a tone, without anything in front of it or behind it."""
    file = io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"} if container == "mp3" else {}
    with av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        stream.codec_context.open()
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * rate, dtype=np.float32) / rate)
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        cut = av.AudioResampler(stream.format.name, "mono", rate, frame_size=stream.codec_context.frame_size)
        for piece in (*cut.resample(frame), *cut.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def second(container, codec, rates):
    """Seconds of sound at the second rate, and of its time stamps, without those of the last frame."""
    data = b"".join(written(container, codec, rate) for rate in rates)
    with av.open(io.BytesIO(data)) as file:
        frames = [frame for frame in file.decode(audio=0) if frame.sample_rate == rates[1]]
    return sum(frame.samples for frame in frames) / rates[1], frames[-1].time - frames[0].time


for container, codec, *rates in (
    ("adts", "aac", 44_100, 22_050),
    ("adts", "aac", 22_050, 44_100),
    ("mp3", "libmp3lame", 44_100, 22_050),
    ("mp2", "mp2", 44_100, 22_050),
    ("ac3", "ac3", 48_000, 32_000),
):
    print(container, *rates, "{:.1f} {:.1f}".format(*second(container, codec, rates)))
PY

seen=$("$work/venv/bin/python" "$work/clock.py")
echo "$seen"
[ "$seen" = "adts 44100 22050 4.1 2.0
adts 22050 44100 4.0 8.0
mp3 44100 22050 4.0 4.0
mp2 44100 22050 4.0 3.9
ac3 48000 32000 4.0 4.0" ]
