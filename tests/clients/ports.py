"""Prints a free loopback port whose successor is free as well: the server takes one, its identity provider the next."""

import socket


def held(port):
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    return listener


while True:
    with held(0) as first:
        port = first.getsockname()[1]
        try:
            held(port + 1).close()
        except OSError:
            continue
    print(port)
    break
