"""What a request says of the cues of its subtitles: the options of the command, by their names."""

from quartet.options.declared import SUBTITLES
from quartet.options.kinds import Integer
from quartet.serve.openapi import NUMBER, WHOLE, Schema
from quartet.serve.web import Params, option_param
from quartet.transcription.cues import CueOptions

CUE_FIELDS: dict[str, Schema] = {
    name: WHOLE if isinstance(option.kind, Integer) else NUMBER for name, option in SUBTITLES.items()
}


def cue_params(params: Params) -> CueOptions:
    """How cues are made. Raises `ApiError`."""
    found = {name: option_param(params, option) for name, option in SUBTITLES.items()}
    return CueOptions(**{name: value for name, value in found.items() if value is not None})
