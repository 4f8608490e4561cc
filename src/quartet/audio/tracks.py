"""Which of several tracks of sound is heard: by number, language or title, or the one that players take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from quartet.errors import AudioError
from quartet.text.languages import display_name, find

MOST = 16  # tracks that are listed
LONGEST = 60  # characters of a title
HANDLERS = ("SoundHandler", "Core Media Audio")  # what programs call any track of an MP4
PART = 4  # letters of a title by which it is found; fewer may be a language, and in any title


@dataclass(frozen=True)
class Track:
    """A track of sound in a container, as far as that describes it."""

    number: int  # among those with sound, from 1 on
    language: str = ""
    title: str = ""
    is_default: bool = False

    def __str__(self) -> str:
        """As a list of tracks has it: `2: French, Commentary`."""
        about = ", ".join(filter(None, [self.language and display_name(self.language), self.title]))
        return f"{self.number}: {about}" if about else str(self.number)


def tracks_of(streams: Iterable[Any]) -> list[Track]:
    """The tracks of PyAV's streams."""
    return [_track(number, stream) for number, stream in enumerate(streams, 1)]


def _track(number: int, stream: Any) -> Track:
    tags = {key.casefold(): _in_a_line(value) for key, value in stream.metadata.items()}
    language, handler = tags.get("language", ""), tags.get("handler_name", "")
    return Track(
        number,
        "" if language in ("und", "zxx", "mis") else language,
        tags.get("title") or ("" if handler in HANDLERS else handler),
        bool(getattr(stream, "disposition", 0) & 1),  # PyAV 13 does not tell
    )


def _in_a_line(text: str) -> str:
    """What a file says, without what would be a command to a terminal."""
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def listed(tracks: Sequence[Track]) -> str:
    """The tracks in words."""
    more = f"; and {len(tracks) - MOST} more" if len(tracks) > MOST else ""
    return "; ".join(map(str, tracks[:MOST])) + more


def chosen(tracks: Sequence[Track], wanted: str | int | None, languages: Sequence[str], name: str) -> Track:
    """The track that is wanted, by its number, title or language; else the one that players take, which is the first
    that is marked as the default; but one in a language that is spoken, where that one is said to be in another.

    Raises `AudioError`, with a list of the tracks, where there is none like it.
    """
    if wanted is not None:
        found = _named(tracks, str(wanted).strip())
        if found is None:
            raise AudioError(f"{name} has no track {str(wanted)!r}; its tracks of sound are {listed(tracks)}")
        return found
    usual = next((track for track in tracks if track.is_default), tracks[0])
    spoken = [track for track in tracks if any(_speaks(track, language) for language in languages)]
    return usual if usual in spoken or not spoken else next((t for t in spoken if t.is_default), spoken[0])


def _named(tracks: Sequence[Track], wanted: str) -> Track | None:
    title = wanted.casefold()
    kinds = (
        [track for track in tracks if str(track.number) == wanted],
        [track for track in tracks if title and track.title.casefold() == title],
        [track for track in tracks if _speaks(track, wanted)],
        [track for track in tracks if len(title) >= PART and title in track.title.casefold()],
    )
    return next((found[0] for found in kinds if found), None)


def _speaks(track: Track, language: str) -> bool:
    return bool(track.language) and find(language, [track.language]) is not None
