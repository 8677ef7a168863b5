"""A small shop that keeps its state in all the places where programs keep state."""

import functools
import os
import signal
import socket
import tempfile
from pathlib import Path

cart = []


class Product:
    known = {}

    def __init__(self, name, price):
        self.name, self.price = name, price
        Product.known[name] = self


@functools.lru_cache
def currency():
    return os.environ.get("SHOP_CURRENCY", "EUR")


def ledger():
    return Path(tempfile.gettempdir()) / "shop-ledger.txt"


def book(line):
    with ledger().open("a") as file:
        file.write(line + "\n")


def booked():
    return ledger().read_text().splitlines() if ledger().exists() else []


def open_till():
    """A till listens on its port until the shop closes."""
    till = socket.socket()
    till.bind(("127.0.0.1", 47811))
    till.listen()
    return till


def close_at_night():
    signal.signal(signal.SIGALRM, lambda *_: cart.clear())
