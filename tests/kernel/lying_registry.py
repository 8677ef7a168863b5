"""A registry on the loopback that serves the first image of an OCI layout, and lies about it: `lying_registry.py LAYOUT LIE`."""
import http.server
import json
import pathlib
import sys
import threading

LAYOUT = pathlib.Path(sys.argv[1])
LIE = sys.argv[2]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ENTRY = json.loads((LAYOUT / "index.json").read_text())["manifests"][0]
SILENCE = threading.Event()  # never set


def blob(digest):
    return (LAYOUT / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def manifest():
    bytes_ = blob(ENTRY["digest"])
    if LIE == "wrong-size":
        document = json.loads(bytes_)
        document["layers"][0]["size"] += 7
        return json.dumps(document).encode()
    return bytes_


SELF = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
    {"mediaType": INDEX, "digest": "sha256:" + "5" * 64, "size": 100, "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()


class Lies(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, bytes_, kind="application/octet-stream", length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(bytes_) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(bytes_)

    def do_GET(self):
        print(f'"{self.command} {self.path}"', flush=True)
        parts = self.path.strip("/").split("/")
        try:
            if "manifests" in parts:
                self.give_manifest(parts[-1])
            elif "blobs" in parts:
                self.give_blob(parts[-1])
            else:
                self.answer(b"{}", "application/json")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def give_manifest(self, reference):
        if LIE == "index-names-itself":
            self.answer(SELF, INDEX)
        elif LIE == "silent-manifest":
            SILENCE.wait()
        elif LIE == "other-manifest" and reference.startswith("sha256:"):
            self.answer(manifest() + b"\n", MANIFEST)
        else:
            self.answer(manifest(), MANIFEST)

    def give_blob(self, digest):
        layers = [layer["digest"] for layer in json.loads(blob(ENTRY["digest"]))["layers"]]
        layer = digest == layers[0]
        bytes_ = blob(digest)
        if LIE == "stuck" and digest == layers[-1]:
            self.answer(bytes_[:10], length=len(bytes_))
            self.wfile.flush()
            SILENCE.wait()
        if not layer and LIE == "wrong-config":
            self.answer(bytes_.replace(b"NAME=value", b"NAME=other"))
        elif not layer:
            self.answer(bytes_)
        elif LIE == "wrong-digest":
            self.answer(bytes_[:-1] + bytes([bytes_[-1] ^ 1]))
        elif LIE == "redirects":
            self.send_response(307)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif LIE == "endless":
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            while True:
                self.wfile.write(b"\0" * 65536)
        elif LIE == "silent":
            self.answer(bytes_[:10], length=len(bytes_))
            self.wfile.flush()
            SILENCE.wait()
        elif LIE == "short":
            self.answer(bytes_[:10], length=len(bytes_))
            self.close_connection = True
        else:
            self.answer(bytes_)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lies)
server.daemon_threads = True
print("port", server.server_address[1], flush=True)
server.serve_forever()
