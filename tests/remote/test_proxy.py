"""The proxy that breaks calls: each fault as a client sees it, what passes untouched, and what it counts."""

import hashlib
import os
import subprocess
import threading
import time

import grpc
import pytest
from client import Client, answer, digest

CODE = grpc.StatusCode


@pytest.fixture
def client(proxy):
    with Client(proxy.target, headers=[("authorization", "Bearer good")]) as made:
        yield made


def code_of(call):
    with pytest.raises(grpc.RpcError) as broken:
        call()
    return broken.value.code()


def details_of(error):
    """The bytes of google.rpc.Status that came with an error."""
    return dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")


def test_passes_all_calls(client, proxy):
    large = os.urandom(9 << 20)
    assert client.capabilities().execution_capabilities.exec_enabled
    assert client.put(b"small") == [0]
    assert client.write(large) == len(large)
    assert client.read(digest(large)) == large
    assert client.get(digest(b"small")) == [(0, b"small")]
    done = client.shell("cat in > out; echo said", files=[("in", b"abc")])
    assert (done.status.code, done.result.exit_code, client.out(done)) == (0, 0, b"said\n")
    with pytest.raises(grpc.RpcError) as error:
        client.read(digest(b"nowhere"))
    assert (error.value.code(), bool(error.value.details())) == (CODE.NOT_FOUND, True)
    counts = proxy.counts()
    assert counts["Write"]["calls"] == 1
    assert counts["Write"]["requests"] == 9
    assert counts["Write"]["request_bytes"] >= len(large)
    assert counts["Read"]["response_bytes"] >= len(large)
    assert counts["Read"]["codes"]["NOT_FOUND"] == 1
    assert counts["Execute"]["codes"] == {"OK": 1}
    assert proxy.seen("GetCapabilities")["authorization"] == "Bearer good"
    assert len(large) * 2 > proxy.bytes_sent() > len(large)
    proxy.reset()
    assert (proxy.counts(), proxy.bytes_sent()) == ({}, 0)


def test_status_so_many_times(client, proxy):
    proxy.rules({"method": "FindMissingBlobs", "fault": "status", "code": "UNAVAILABLE", "times": 2, "skip": 1})
    assert client.missing(digest(b"a"))
    assert [code_of(lambda: client.missing(digest(b"a"))) for _ in range(2)] == [CODE.UNAVAILABLE] * 2
    assert client.missing(digest(b"a"))
    assert proxy.counts("FindMissingBlobs")["broken"] == 2
    assert client.capabilities()


def test_retry_info(client, proxy):
    proxy.rules({"method": "GetCapabilities", "fault": "status", "code": "RESOURCE_EXHAUSTED", "message": "slowly", "retry_after": 1.5})
    with pytest.raises(grpc.RpcError) as error:
        client.capabilities()
    assert (error.value.code(), error.value.details()) == (CODE.RESOURCE_EXHAUSTED, "slowly")
    assert b"google.rpc.RetryInfo\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01" in details_of(error.value)


def test_a_status_that_names_a_missing_blob(client, proxy):
    proxy.rules({"method": "Execute", "fault": "status", "code": "FAILED_PRECONDITION", "missing": "ab12/3", "times": 1})
    action = client.action("/bin/true")
    with pytest.raises(grpc.RpcError) as error:
        list(client.execute(action))
    assert (error.value.code(), b"blobs/ab12/3" in details_of(error.value)) == (CODE.FAILED_PRECONDITION, True)
    assert answer(client.execute(action)).result.exit_code == 0


def test_hang_ends_with_the_client(proxy):
    proxy.rules({"method": "*", "fault": "hang"})
    with Client(proxy.target, timeout=1) as client:
        assert code_of(client.capabilities) == CODE.DEADLINE_EXCEEDED
    proxy.rules()
    with Client(proxy.target) as client:
        assert client.capabilities()


def test_delay(client, proxy):
    proxy.rules({"method": "GetCapabilities", "fault": "delay", "seconds": 0.5, "times": 1})
    begin = time.monotonic()
    assert client.capabilities()
    assert time.monotonic() - begin >= 0.5


def test_a_write_breaks_midway_and_is_resumed(client, proxy):
    content = os.urandom(6 << 20)
    proxy.rules({"method": "Write", "fault": "status", "code": "UNAVAILABLE", "of": "requests", "bytes": 3 << 20, "times": 1})
    name = client.resource(digest(content), upload=True)
    assert code_of(lambda: client.write(content, name)) == CODE.UNAVAILABLE
    assert 3 << 20 <= proxy.counts("Write")["request_bytes"] < 5 << 20
    assert client.missing(digest(content))
    assert client.write(content, name) == len(content)
    assert not client.missing(digest(content))


def test_a_read_breaks_midway(client, proxy):
    content = os.urandom(6 << 20)
    client.write(content)
    proxy.rules({"method": "Read", "fault": "cut", "messages": 1, "times": 1})
    assert code_of(lambda: client.read(digest(content))) == CODE.UNAVAILABLE
    assert client.read(digest(content)) == content


def test_wrong_bytes(client, proxy):
    content = b"the right bytes"
    client.put(content)
    proxy.rules({"method": "Read", "fault": "corrupt"}, {"method": "BatchReadBlobs", "fault": "corrupt"})
    for found in (client.read(digest(content)), client.get(digest(content))[0][1]):
        assert len(found) == len(content)
        assert hashlib.sha256(found).hexdigest() != digest(content).hash


def test_an_evicted_blob(client, proxy):
    kept, gone = b"kept", b"gone"
    client.put(kept, gone)
    name = f"{digest(gone).hash}/{len(gone)}"
    action = client.action("/bin/true")
    methods = ("Read", "BatchReadBlobs", "FindMissingBlobs", "Execute")
    proxy.rules(*({"method": one, "fault": "evict", "digest": name if one != "Execute" else f"{action.hash}/{action.size_bytes}", "times": 1} for one in methods))
    assert client.read(digest(kept)) == kept
    assert code_of(lambda: client.read(digest(gone))) == CODE.NOT_FOUND
    assert client.get(digest(kept), digest(gone)) == [(0, kept), (5, b"")]
    assert client.missing(digest(kept), digest(gone)) == [digest(gone).hash]
    with pytest.raises(grpc.RpcError) as error:
        list(client.execute(action))
    assert error.value.code() == CODE.FAILED_PRECONDITION
    assert b"PreconditionFailure" in details_of(error.value)
    assert f"blobs/{action.hash}/{action.size_bytes}".encode() in details_of(error.value)
    # Once: now it is all there.
    assert client.read(digest(gone)) == gone
    assert client.get(digest(gone)) == [(0, gone)]
    assert not client.missing(digest(gone))
    assert answer(client.execute(action)).result.exit_code == 0


@pytest.mark.parametrize("fault", [{"fault": "cut"}, {"fault": "status", "code": "UNAVAILABLE"}], ids=["cut", "status"])
def test_an_execution_goes_on_whose_stream_broke(client, proxy, fault, tmp_path):
    proxy.rules({"method": "Execute", "messages": 1, "times": 1, **fault})
    stream = client.execute(client.action("/bin/sh", "-c", "sleep 1; echo done"))
    name = next(stream).name
    assert code_of(lambda: list(stream)) == CODE.UNAVAILABLE
    done = answer(client.wait(name))
    assert (done.result.exit_code, client.out(done)) == (0, b"done\n")
    assert proxy.counts("WaitExecution")["calls"] == 1


def test_credentials_that_expire(client, proxy):
    proxy.require(authorization="Bearer good")
    assert client.capabilities()
    proxy.require(authorization="Bearer new")
    assert code_of(client.capabilities) == CODE.UNAUTHENTICATED
    with Client(proxy.target, headers=[("authorization", "Bearer new")]) as other:
        assert other.capabilities()


def test_links_down_and_up(client, proxy):
    stream = client.execute(client.action("/bin/sleep", "1"))
    next(stream)
    proxy.link(up=False)
    assert code_of(lambda: list(stream)) == CODE.UNAVAILABLE
    assert code_of(client.capabilities) == CODE.UNAVAILABLE
    proxy.link(up=True)
    with Client(proxy.target) as other:
        assert other.capabilities()


def test_a_silent_link(proxy):
    with Client(proxy.target, timeout=1) as client:
        assert client.capabilities()
        proxy.link(up=False, silent=True)
        assert code_of(client.capabilities) == CODE.DEADLINE_EXCEEDED
        proxy.link(up=True)
        assert client.capabilities()


def test_waits_for_calls(client, proxy):
    waited = []
    thread = threading.Thread(target=lambda: waited.append(proxy.wait("GetCapabilities", count=3)))
    thread.start()
    for _ in range(3):
        client.capabilities()
    thread.join(30)
    assert waited == [None]
    with pytest.raises(AssertionError, match="fewer than 9 calls"):
        proxy.wait("GetCapabilities", count=9, seconds=0.1)


def test_another_answer(client, proxy):
    proxy.rules({"method": "GetCapabilities", "fault": "answer", "payload": ""})
    assert not client.capabilities().execution_capabilities.exec_enabled


def test_a_word_that_is_none(proxy):
    with pytest.raises(AssertionError, match="nonsense"):
        proxy.say("nonsense")
    with pytest.raises(AssertionError, match="fault"):
        proxy.rules({"method": "*"})


def test_an_engine_that_is_started_again(casd, client):
    client.put(b"kept")
    casd.kill()
    assert code_of(client.capabilities) == CODE.UNAVAILABLE
    casd.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            assert not client.missing(digest(b"kept"))
            return
        except grpc.RpcError:
            time.sleep(0.1)
    raise AssertionError("the proxy does not find the engine again")


def authority(directory):
    """ca.pem, and for a server and a client a certificate and a key."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, use in (("server", "serverAuth"), ("client", "clientAuth")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", "request.pem")
        (directory / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={use}\n")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")
    return [(directory / name).read_bytes() for name in ("ca.pem", "client-key.pem", "client.pem")]


def test_tls(casd, start_proxy, tmp_path):
    (tmp_path / "tls").mkdir()
    ca, key, certificate = authority(tmp_path / "tls")
    words = ["--tls-cert", tmp_path / "tls/server.pem", "--tls-key", tmp_path / "tls/server-key.pem"]
    open_to_all, mutual = start_proxy(casd.target, *words), start_proxy(casd.target, *words, "--tls-ca", tmp_path / "tls/ca.pem")
    anonymous, named = grpc.ssl_channel_credentials(ca), grpc.ssl_channel_credentials(ca, key, certificate)
    for proxy, credentials in ((open_to_all, anonymous), (mutual, named)):
        assert proxy.address.startswith("grpcs://")
        with Client(proxy.target, credentials=credentials) as client:
            assert client.capabilities().execution_capabilities.exec_enabled
    for proxy, credentials in ((open_to_all, None), (open_to_all, grpc.ssl_channel_credentials()), (mutual, anonymous)):
        with Client(proxy.target, credentials=credentials, timeout=5) as client:
            assert code_of(client.capabilities) == CODE.UNAVAILABLE
