"""As test_shop.py, with what a process has around its interpreter: environment, directory, files, ports, signals, limits."""

import logging
import os
import signal

import shop


class TestCurrency:
    """The environment, and a cache filled from it."""

    def test_default(self):
        assert shop.currency() == "EUR"
        shop.currency.cache_clear()

    def test_from_the_environment(self):
        os.environ["SHOP_CURRENCY"] = "CHF"
        assert shop.currency() == "CHF"


class TestDirectory:
    def test_starts_in_the_project(self):
        assert os.path.exists("shop.py")

    def test_goes_elsewhere(self):
        os.chdir("/")
        assert not os.path.exists("shop.py")


class TestLedger:
    """A file in the directory for temporary files: even the next run sees it."""

    def test_is_empty(self):
        assert shop.booked() == []

    def test_takes_a_line(self):
        shop.book("1 apple")
        assert shop.booked()[-1] == "1 apple"


class TestTill:
    """A port that stays taken."""

    tills = []

    def test_opens_and_closes(self):
        shop.open_till().close()

    def test_opens(self):
        self.tills.append(shop.open_till())
        assert self.tills[-1].getsockname()[1] == 47811


class TestNight:
    def test_nobody_waits_for_the_alarm(self):
        assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL

    def test_cart_is_emptied(self):
        shop.close_at_night()
        shop.cart.append("plum")
        signal.raise_signal(signal.SIGALRM)
        assert shop.cart == []


class TestUmask:
    def test_files_are_readable(self, tmp_path):
        path = tmp_path / "price"
        path.write_text("1")
        assert path.stat().st_mode & 0o044

    def test_files_are_private(self, tmp_path):
        os.umask(0o077)
        path = tmp_path / "price"
        path.write_text("1")
        assert not path.stat().st_mode & 0o077


class TestLog:
    def test_says_nothing_below_a_warning(self, caplog):
        logging.getLogger("shop").info("opened")
        assert caplog.records == []

    def test_says_all(self, caplog):
        logging.getLogger("shop").setLevel(logging.DEBUG)
        logging.getLogger("shop").debug("opened")
        assert len(caplog.records) == 1
