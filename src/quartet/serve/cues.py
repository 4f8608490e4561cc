"""What a request says of the cues of its subtitles: the options of the command, by their names."""

from quartet.errors import OptionError
from quartet.options.declared import SUBTITLES
from quartet.options.kinds import Integer, checked
from quartet.serve.openapi import NUMBER, WHOLE, Schema
from quartet.serve.web import ApiError, Params, text_param
from quartet.transcription.cues import CueOptions

CUE_FIELDS: dict[str, Schema] = {
    name: WHOLE if isinstance(option.kind, Integer) else NUMBER for name, option in SUBTITLES.items()
}


def cue_params(params: Params) -> CueOptions:
    """How cues are made. Raises `ApiError`."""
    found = {}
    for name, option in SUBTITLES.items():
        if given := text_param(params, name, ""):
            try:
                found[name] = checked(option, option.kind.read(given))
            except OptionError as error:
                raise ApiError(400, str(error), param=name) from None
    return CueOptions(**found)
