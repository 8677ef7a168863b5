"""Every test here is right on its own, and all pass in this order. In almost any other order some fail, because of what others left in the
interpreter: the first of each pair sees a clean world, the second leaves it dirty."""

import builtins
import json
import math
import sys
import types

import shop


def test_cart_is_empty():
    assert shop.cart == []


def test_cart_takes_an_apple():
    shop.cart.append("apple")
    assert shop.cart == ["apple"]


class TestProduct:
    def test_none_is_known(self):
        assert shop.Product.known == {}

    def test_new_one_is_known(self):
        assert shop.Product("pear", 3) is shop.Product.known["pear"]


class TestNames:
    """A builtin replaced for good."""

    def test_prices_are_rounded(self):
        assert round(2.4) == 2

    def test_prices_are_rounded_up(self):
        builtins.round = lambda number, digits=None: math.ceil(number)
        assert round(2.4) == 3


class TestModules:
    """A module replaced for good."""

    def test_scales_are_not_connected(self):
        assert "scales" not in sys.modules

    def test_weighs(self):
        sys.modules["scales"] = types.SimpleNamespace(weigh=lambda thing: 7)
        import scales

        assert scales.weigh("melon") == 7


class TestPatched:
    def test_price_list_is_json(self):
        assert json.loads('{"apple": 1}') == {"apple": 1}

    def test_price_list_is_broken(self):
        json.loads = lambda text, **options: {}
        assert json.loads('{"apple": 1}') == {}
