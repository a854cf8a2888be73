"""Words to systemd (sd_notify(3)); nothing happens where systemd did not start the daemon."""

import os
import socket


def tell_systemd(message: str) -> None:
    """Send a state such as `READY=1` to the socket that systemd named."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(message.encode())
