#!/usr/bin/env bash
# Ogg files one after the other in one file are an Ogg file again (RFC 3533, section 4: "chaining"), and so stations
# send one piece after the other. One would guess that FFmpeg reads all of such a file, or says at once that it cannot.
# What it does hangs on the codec, and on what changes from one piece to the next:
# - Opus and Vorbis that stay as they are: all is decoded, and times begin again at 0.
# - FLAC that stays as it is, or gets more channels: all is decoded, but the first second of the next piece has times
#   that go on, and then they step back to 1 s.
# - FLAC that gets a lower rate: likewise, and the clock keeps the rate of the first piece besides, so that four seconds
#   at 22,050 Hz after some at 44,100 Hz end at 2 s. With a higher rate the decoder calls the next piece invalid.
# - Vorbis that gets another rate, Opus that gets more channels: an error where the second piece begins, "Not yet
#   implemented". Another codec: "Invalid argument". What follows is lost.
# So a reader that was tried with some chained files loses half of others, and whoever orders frames by `frame.time`
# mixes the pieces; the format's flag for times that may jump (TS_DISCONT) is all that warns. To get all, cut the file
# where pages say that a stream begins, and give FFmpeg each piece by itself.
#
# PyAV 18.1.0 (FFmpeg 8.1.2, libavformat 62.12.102), Python 3.11, Linux. Two pieces of 4 s each. Seen: seconds that come
# out before the end or an error; time of the last frame; times around the step back:
#   opus, opus 8.0 4.0 4.0>0.0           flac 44100, 22050 8.0 2.0 4.5>0.5
#   vorbis, vorbis 8.0 4.0 4.0>0.0       flac 22050, 44100 4.0 4.0 InvalidDataError
#   flac, flac 8.0 4.0 4.9>1.0           vorbis 44100, 22050 4.0 4.0 PatchWelcomeError
#   flac mono, stereo 8.0 4.0 4.9>1.0    opus mono, stereo 4.0 4.0 PatchWelcomeError
#   opus, flac 4.0 4.0 ArgumentError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6

cat > "$work/links.py" <<'PY'
import io
from fractions import Fraction

import av
import numpy as np

SECONDS = 4


def piece(codec, rate, layout):
    """An Ogg file of a tone."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as out:
        options = {"strict": "experimental"} if codec == "vorbis" else {}
        stream = out.add_stream(codec, rate=rate, layout=layout, options=options)
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * rate, dtype=np.float32) / rate)
        tone = np.tile(tone, (2 if layout == "stereo" else 1, 1))
        for first in range(0, SECONDS * rate, 1024):
            part = np.ascontiguousarray(tone[:, first : first + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def heard(data):
    """Seconds that come out, time of the last frame, times around a step back, and an error."""
    frames, error = [], ""
    with av.open(io.BytesIO(data)) as file:
        try:
            for frame in file.decode(audio=0):
                frames.append((frame.samples / frame.sample_rate, frame.time))
        except av.error.FFmpegError as raised:
            error = type(raised).__name__
    times = [time for _, time in frames]
    steps = [f"{a:.1f}>{b:.1f}" for a, b in zip(times, times[1:]) if b < a]
    seconds = sum(length for length, _ in frames)
    return f"{seconds:.1f} {times[-1]:.1f} {' '.join(steps) or '-'} {error}".rstrip()


for name, *pieces in (
    ("opus, opus:", ("libopus", 48_000, "mono"), ("libopus", 48_000, "mono")),
    ("vorbis, vorbis:", ("vorbis", 44_100, "stereo"), ("vorbis", 44_100, "stereo")),
    ("flac, flac:", ("flac", 44_100, "mono"), ("flac", 44_100, "mono")),
    ("flac mono, stereo:", ("flac", 44_100, "mono"), ("flac", 44_100, "stereo")),
    ("flac 44100, 22050:", ("flac", 44_100, "mono"), ("flac", 22_050, "mono")),
    ("flac 22050, 44100:", ("flac", 22_050, "mono"), ("flac", 44_100, "mono")),
    ("opus mono, stereo:", ("libopus", 48_000, "mono"), ("libopus", 48_000, "stereo")),
    ("vorbis 44100, 22050:", ("vorbis", 44_100, "stereo"), ("vorbis", 22_050, "stereo")),
    ("opus, flac:", ("libopus", 48_000, "mono"), ("flac", 48_000, "mono")),
):
    print(name, heard(b"".join(piece(*one) for one in pieces)))
PY

seen=$("$work/venv/bin/python" "$work/links.py")
echo "$seen"
[ "$seen" = "opus, opus: 8.0 4.0 4.0>0.0
vorbis, vorbis: 8.0 4.0 4.0>0.0
flac, flac: 8.0 4.0 4.9>1.0
flac mono, stereo: 8.0 4.0 4.9>1.0
flac 44100, 22050: 8.0 2.0 4.5>0.5
flac 22050, 44100: 4.0 4.0 - InvalidDataError
opus mono, stereo: 4.0 4.0 - PatchWelcomeError
vorbis 44100, 22050: 4.0 4.0 - PatchWelcomeError
opus, flac: 4.0 4.0 - ArgumentError" ]
