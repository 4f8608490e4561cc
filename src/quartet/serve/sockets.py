"""Where a server listens, and in one line why it cannot."""

import errno
import socket

from quartet.errors import OptionError

_REASONS = {
    errno.EADDRINUSE: "another program listens there; choose another --{option}",
    errno.EACCES: "that is not allowed; choose a --{option} from 1024 on",
}


def listening_socket(host: str, port: int, option: str = "port") -> socket.socket:
    """A socket at an address of this machine, for a server to listen on. `option` is how its user chose the port.

    An empty host would be all addresses: it is refused. Raises `OptionError`.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if not host.strip() or not host.isprintable():
            raise ValueError(host)
        found.bind((host, port))
    except (OSError, ValueError) as error:  # ValueError: what can be no name of a host
        found.close()
        raise refused(error, host, port, option) from None
    found.set_inheritable(True)
    return found


def refused(error: OSError | ValueError, host: str, port: int, option: str = "port") -> OptionError:
    """Why a server cannot listen there."""
    reason = _REASONS.get(getattr(error, "errno", None) or 0)
    if reason is None:
        expected = "an address of this machine, as 127.0.0.1, ::1, or 0.0.0.0 for all"
        return OptionError(f"--host is {host[:60]!r}; expected {expected}")
    return OptionError(f"cannot listen on {address(host, port)}: {reason.format(option=option)}")


def address(host: str, port: int) -> str:
    """Both as addresses of the web have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
