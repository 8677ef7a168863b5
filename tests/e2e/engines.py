"""Remote execution engines as fixtures: a casd, a proxy that breaks its calls, BuildGrid with two workers."""

import contextlib

import pytest
from buildgrid_lab import BuildGrid
from casd import Casd, NotHere
from fault_proxy import FaultProxy


@pytest.fixture
def start_casd(tmp_path):
    """Starts one more: a function with Casd's options."""
    with contextlib.ExitStack() as started:

        def start(**options):
            try:
                engine = Casd(tmp_path / f"casd-{len(list(tmp_path.glob('casd-*')))}", **options)
            except NotHere as reason:
                pytest.skip(str(reason))
            started.callback(engine.end)
            return engine

        yield start


@pytest.fixture
def casd(start_casd):
    """One that runs two actions at a time, which see this host's programs."""
    return start_casd()


@pytest.fixture
def start_proxy():
    """Starts one before an engine: a function of its target, and of arguments of proxy.py."""
    with contextlib.ExitStack() as started:

        def start(to, *more):
            try:
                proxy = FaultProxy(to, *more)
            except NotHere as reason:
                pytest.skip(str(reason))
            started.callback(proxy.end)
            return proxy

        yield start


@pytest.fixture
def proxy(casd, start_proxy):
    """One before the engine of the fixture casd."""
    return start_proxy(casd.target)


@pytest.fixture(scope="module")
def buildgrid():
    try:
        lab = BuildGrid()
    except NotHere as reason:
        pytest.skip(str(reason))
    yield lab
    lab.end()


__all__ = ["buildgrid", "casd", "proxy", "start_casd", "start_proxy"]
