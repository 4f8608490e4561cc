"""What is wrong with where a server is to listen is said in one line, before anything is opened."""

import socket

import pytest

from quartet.cli import main
from quartet.errors import OptionError

pytest.importorskip("uvicorn", reason="needs the extra `serve`")

from quartet.serve.options import ServeOptions
from quartet.serve.run import run
from quartet.serve.sockets import address, listening_socket


@pytest.fixture
def taken():
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_free_port_is_found():
    with listening_socket("127.0.0.1", 0) as one:
        one.listen()
        assert socket.create_connection(one.getsockname(), 5)


@pytest.mark.parametrize(
    "host", ["", " ", "nonsense.invalid", "192.0.2.1", "http://127.0.0.1", "a..b", "a" * 300, "\0"]
)
def test_what_is_no_address_of_this_machine_is_named(host):
    with pytest.raises(OptionError, match=r"--host is '.*'; expected an address of this machine, as 127.0.0.1") as told:
        listening_socket(host, 0)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("option", ["--port", "--wyoming-port"])
def test_a_port_in_use_is_named_with_the_option_that_chooses_another(taken, option, capsys):
    ports = ["--port", "0"] if option != "--port" else []
    assert main(["serve", "--model", "/is/not/opened", *ports, option, str(taken)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line == f"quartet: cannot listen on 127.0.0.1:{taken}: another program listens there; choose another {option}"
    )


def test_a_port_that_is_not_allowed_is_said_so(monkeypatch):
    def refuse(self, where):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OptionError, match=r"on 127.0.0.1:80: that is not allowed; choose a --port from 1024 on"):
        run(ServeOptions(port=80))


def test_two_services_need_two_ports():
    with pytest.raises(OptionError, match="--port and --wyoming-port are both 5000"):
        ServeOptions(wyoming_port=5000)


def test_addresses_are_written_as_the_web_has_them():
    assert (address("127.0.0.1", 80), address("::1", 80)) == ("127.0.0.1:80", "[::1]:80")
