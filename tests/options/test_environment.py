"""Options from the environment."""

import pytest

from quartet.cli import main
from quartet.cli.parser import parser
from quartet.errors import OptionError
from quartet.options.declared import SERVE, SERVE_VARIABLES
from quartet.options.environment import from_environment, unknown, variable
from quartet.options.kinds import Choice, Flag, Integer, Many, Size

VALUES = {Flag: ("yes", True), Size: ("1.5GB", 1_500_000_000), Integer: ("7", 7)}


def example(option):
    """What a variable may hold, and the value that it stands for."""
    if isinstance(option.kind, Choice):
        return option.kind.values[-1], option.kind.values[-1]
    if isinstance(option.kind, Many):
        return "demo, other", ("demo", "other")
    return VALUES.get(type(option.kind)) or ("name", option.kind.accept("name"))


@pytest.mark.parametrize("option", SERVE.values(), ids=lambda option: option.name)
def test_each_option_of_the_server_may_be_a_variable(option, monkeypatch):
    text, value = example(option)
    monkeypatch.setenv(SERVE_VARIABLES + option.typed[2:].upper().replace("-", "_"), f" {text} ")
    assert getattr(parser().parse_args(["serve"]), option.name) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "QUARTET_SERVE_PORT",
            "tcp://10.0.0.1:5000",
            "QUARTET_SERVE_PORT is 'tcp://10.0.0.1:5000'; expected an integer",
        ),
        ("QUARTET_SERVE_METRICS", "maybe", "QUARTET_SERVE_METRICS is 'maybe'; expected True or False"),
        ("QUARTET_SERVE_MAX_MEMORY", "4", "QUARTET_SERVE_MAX_MEMORY is '4'; expected a size, as 500MB or 1.5GB"),
        ("QUARTET_SERVE_LOG_FORMAT", "xml", "QUARTET_SERVE_LOG_FORMAT is 'xml'; expected text or json"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_only_where_it_matters(name, text, said, monkeypatch, capsys):
    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["serve"])
    assert stop.value.code == 2
    assert f"quartet serve: {said}" in capsys.readouterr().err
    assert parser().parse_args(["translate", "Hello."]).run


def test_what_is_typed_counts_more(monkeypatch):
    monkeypatch.setenv("QUARTET_SERVE_PORT", "1")
    monkeypatch.setenv("QUARTET_SERVE_MODEL", "other")
    monkeypatch.setenv("QUARTET_SERVE_HOST", "0.0.0.0")
    args = parser().parse_args(["serve", "--port", "5000", "--model", "demo"])
    assert (args.port, args.model, args.host) == (5000, ["demo"], "0.0.0.0")


def test_an_empty_variable_is_none():
    assert from_environment("A_", SERVE, {"A_PORT": " ", "A_HOST": "", "PORT": "7"}) == {}


def test_a_variable_of_no_option_is_known_as_such(monkeypatch, caplog):
    assert unknown("A_", SERVE, {"A_PROT": "1", "A_PORT": "1", "B": "1"}) == ["A_PROT"]
    assert variable("A_", SERVE["models"]) == "A_MODEL"
    monkeypatch.setenv("QUARTET_SERVE_PROT", "1")
    assert main(["serve", "--model", "no-such-model"]) == 2


def test_errors_are_ours():
    with pytest.raises(OptionError, match="A_PORT is -1"):
        from_environment("A_", SERVE, {"A_PORT": "-1"})
