"""A remote engine reached with TLS, as a person sees it: who it is, who we are, and what goes along with each call. buildbox-casd has no TLS: before it
stands tests/remote/proxy.py, with gRPC's own server, as a proxy of its owner's would."""

import shutil
import subprocess

import pytest
from py_test_runner import CASEMATE


class Authority:
    """ca.pem, and what it signs; each NAME.pem has its NAME-key.pem."""

    def __init__(self, directory):
        self.directory = directory
        self.own("ca")
        self.own("other")
        self.sign("server", "IP:127.0.0.1")
        self.sign("expired", "IP:127.0.0.1", days=-1)
        self.sign("elsewhere", "DNS:build.example.org")
        self.sign("client", "IP:127.0.0.1")

    def __getitem__(self, name):
        return self.directory / name

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True, timeout=60)

    def own(self, name):
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}-key.pem")
        self.openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.pem")

    def sign(self, name, host, days=2):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", "request.pem")
        (self.directory / "names").write_text(f"subjectAltName={host}\n")
        by = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial")
        self.openssl("x509", "-req", "-in", "request.pem", *by, "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def engine(casd, start_proxy, authority):
    """Starts a TLS server with a certificate before casd; mutual: it wants to know who we are."""

    def start(name="server", mutual=False):
        wanted = ["--tls-ca", authority["ca.pem"]] if mutual else []
        return start_proxy(casd.target, "--tls-cert", authority[f"{name}.pem"], "--tls-key", authority[f"{name}-key.pem"], *wanted)

    return start


def trust(authority, name="ca"):
    return ["--remote-ca", authority[f"{name}.pem"]]


def ours(authority, certificate="client", key=None):
    return ["--remote-cert", authority[f"{certificate}.pem"], "--remote-key", authority[f"{key or certificate}-key.pem"]]


def test_an_engine_that_is_who_it_says(run, engine, authority):
    proxy = engine()
    made, status = run.object("--remote", proxy.address, *trust(authority), "--", "echo", "in")
    assert (status, made["stdout"]) == (0, "in\n")
    assert proxy.counts("Execute")["calls"] == 1
    # By bazel's names, by variables, and by a file whose paths are its own.
    assert run.out("--remote_executor", proxy.address, f"--tls_certificate={authority['ca.pem']}", "--", "echo", "in") == "in\n"
    named = {"CASEMATE_REMOTE": proxy.address, "CASEMATE_REMOTE_CA": str(authority["ca.pem"])}
    assert run.out("--", "echo", "in", env=run.environment | named) == "in\n"
    shutil.copy(authority["ca.pem"], run.directory / "engine.pem")
    (run.directory / "casemate.toml").write_text(f'[remote]\naddress = "{proxy.address}"\nca = "engine.pem"\n')
    done = run("--", "echo", "in")
    assert (done.returncode, done.stdout) == (0, b"in\n") and b"casemate.toml:2 names" in done.stderr
    assert proxy.counts("Execute")["calls"] == 4


def test_an_engine_that_wants_to_know_who_we_are(run, engine, authority):
    proxy = engine(mutual=True)
    words = [*trust(authority), *ours(authority), "--", "echo", "in"]
    assert run.out("--remote", proxy.address, *words) == "in\n"
    doctor = subprocess.run([CASEMATE, "doctor", "--remote", proxy.address, *words[:6]], env=run.environment, capture_output=True, timeout=60)
    assert doctor.returncode == 0, doctor.stdout


def test_engines_that_are_not_to_be_trusted(run, engine, authority, casd):
    """One line each, status 125, and nothing has been executed. All at once: casemate tries for some seconds."""
    plain, mutual, expired, elsewhere = engine(), engine(mutual=True), engine("expired"), engine("elsewhere")
    cases = [
        (plain.address, trust(authority, "other"), f"by none of the authorities in '{authority['other.pem']}'"),
        (plain.address, [], "by none of the authorities of this system"),
        (expired.address, trust(authority), "it has expired, or"),
        (elsewhere.address, trust(authority), "of another host name"),
        (mutual.address, trust(authority), "does it want a certificate of ours (--remote-cert, --remote-key)?"),
        (mutual.address, [*trust(authority), *ours(authority, "other")], "does it know who signed the certificate of ours"),
        (plain.address.replace("grpcs:", "grpc:"), [], "is it grpcs:// and not grpc://?"),
        (f"grpcs://{casd.target}", trust(authority), "is it grpc:// and not grpcs://?"),
    ]
    started = [run.start("--remote", address, *words, "--", "touch", "/app/made") for address, words, _ in cases]
    for process, (address, _, says) in zip(started, cases, strict=True):
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err.count(b"\n")) == (125, b"", 1), err
        assert says in err.decode()
        assert address.partition("//")[2] in err.decode()
    for proxy in (plain, mutual, expired, elsewhere):
        assert proxy.counts() == {}


def test_an_engine_that_is_not_to_be_trusted_is_no_engine(run, engine, authority):
    proxy = engine("expired")
    done = run("--remote", proxy.address, *trust(authority), "--remote-fallback", "--", "echo", "here")
    assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr
    assert b"run here" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--remote-ca", "none.pem"], "none.pem"),
        (["--remote-ca", "text.pem"], "'text.pem' is no PEM file"),
        (["--remote-ca", "empty.pem"], "no certificate can be read from 'empty.pem'"),
        (["--remote-cert", "client.pem", "--remote-key", "server-key.pem"], "the key 'server-key.pem' is not that of the certificate 'client.pem'"),
        (["--remote-cert", "client.pem", "--remote-key", "locked-key.pem"], "no key can be read from 'locked-key.pem'"),
        (["--remote-cert", "expired.pem", "--remote-key", "expired-key.pem"], "'expired.pem', has expired"),
        (["--remote-cert", "client-key.pem", "--remote-key", "client-key.pem"], "no certificate can be read from 'client-key.pem'"),
        (["--remote-cert", "client.pem"], "belong together"),
    ],
)
def test_files_that_can_not_be_used(run, authority, words, says):
    """Told before anybody is asked: there is no engine at all."""
    for name in ("client", "expired", "server"):
        for file in (f"{name}.pem", f"{name}-key.pem"):
            shutil.copy(authority[file], run.directory / file)
    authority.openssl("rsa", "-aes128", "-passout", "pass:s3cr3t", "-in", "client-key.pem", "-out", str(run.directory / "locked-key.pem"))
    (run.directory / "text.pem").write_text("a certificate\n")
    (run.directory / "empty.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    done = run("--remote", "grpcs://127.0.0.1:1", *words, "--", "true")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (125, b"", 1)
    assert says in done.stderr.decode()


def test_what_goes_with_each_call(run, engine, authority):
    """A token of a file, headers, and who asks; to the engine, and to a storage with an address of its own."""
    proxy, storage = engine(), engine()
    (run.directory / "token").write_text("s3cr3t-token \r\nnot this line\n")
    wanted = {"authorization": "Bearer s3cr3t-token", "x-team": "a = b"}
    for each in (proxy, storage):
        each.require(**wanted)
    words = ["--remote-token-file", "token", "--remote-header", "X-Team=a = b", "--remote-cache", storage.address]
    words += ["--remote", proxy.address, *trust(authority)]
    made, status = run.object(*words, "-i", "--", "cat", input=b"in\n", stdin=None)
    assert (status, made["stdout"]) == (0, "in\n"), made
    for method, where in (("GetCapabilities", proxy), ("GetCapabilities", storage), ("FindMissingBlobs", storage), ("BatchUpdateBlobs", storage), ("Execute", proxy)):
        seen = where.seen(method)
        assert wanted.items() <= seen.items(), method
        assert "build.bazel.remote.execution.v2.requestmetadata-bin" in seen
    assert proxy.counts("FindMissingBlobs")["calls"] == storage.counts("Execute")["calls"] == 0
    assert b"s3cr3t" not in run("--json", *words, "--", "true").stdout
