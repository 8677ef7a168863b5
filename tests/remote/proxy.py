"""A proxy for gRPC that breaks calls as a script says. Runs in build/casd-venv; speaks no method in particular, but for what `evict` and `corrupt` edit.

    client -> front (TCP; here links are cut) -> gRPC server (TLS, if asked for) -> gRPC client -> engine

--control is a unix socket: a JSON object a line in, one out (tests/e2e/fault_proxy.py says them from Python). Commands:

    {"do": "rules", "rules": [RULE...]}          these from now on, in their order; the first that fits a call breaks it
    {"do": "counts"}                             per method: calls, messages and bytes each way, status codes; and the links' bytes
    {"do": "reset"}                              counts from zero
    {"do": "seen", "method": M}                  the metadata of the last call of M
    {"do": "wait", "method": M, "what": "calls" | "responses" | "broken", "count": N, "seconds": S}
                                                 until so many were counted: {"ok": false} if they were not in time
    {"do": "link", "up": false, "silent": false} all links of now are cut by a reset and new ones refused, or (silent) nothing passes any more; up again with true
    {"do": "require", "headers": {NAME: VALUE}}  calls without these are UNAUTHENTICATED

A RULE is {"method": "Execute" (the last part of a method's name; "*" is any), "fault": FAULT, and as wanted
    "times": 2       for so many calls (default: all)        "skip": 1     but not for the first so many
    "digest": HASH   whose first message names this          "messages": 3 / "bytes": 70000    after so many have passed, else before the call reaches the engine
    "of": "requests" | "responses" (default)                 which of them are counted}.
FAULTs:
    status   ends the call with "code" (a name) and "message"; "retry_after": seconds, as a RetryInfo; "missing": "HASH/SIZE", a blob that the
             engine says it has not
    hang     nothing more passes until the client goes
    delay    waits for "seconds", then goes on
    cut      resets the connection that carries the call
    corrupt  other bytes of the same length in what Read and BatchReadBlobs bring
    evict    the blob "digest" is not there: Read is NOT_FOUND, BatchReadBlobs says so of it, FindMissingBlobs lists it, Execute is FAILED_PRECONDITION
    answer   "payload" (base64) is the one message of the answer
An execution whose stream broke goes on at the engine.
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import json
import signal
import socket

import grpc
from buildstream._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as reapi
from buildstream._protos.google.rpc import status_pb2
from google.protobuf import any_pb2, duration_pb2

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 20)]
UPSTREAM = [*OPTIONS, ("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
NOT_FOUND = 5


class Broken(Exception):
    """A rule ends this call: with a status, or (code None) without any word."""

    def __init__(self, code=None, message="", details=b""):
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


def field(number, content):
    """A length-delimited field of a message: google.rpc's error details have no stubs here."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def status_details(code, message, name, content):
    detail = any_pb2.Any(type_url=f"type.googleapis.com/google.rpc.{name}", value=content)
    return status_pb2.Status(code=code.value[0], message=message, details=[detail]).SerializeToString()


def missing(blob):
    violation = field(1, b"MISSING") + field(2, f"blobs/{blob}".encode())
    content = b"\x0a" + bytes([len(violation) & 127 | 128, len(violation) >> 7]) + violation
    code = grpc.StatusCode.FAILED_PRECONDITION
    return Broken(code, "missing blobs", status_details(code, "missing blobs", "PreconditionFailure", content))


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1]) if content else content


class Rule:
    def __init__(self, said):
        self.method, self.fault, self.said = said["method"], said["fault"], said
        self.left, self.skip = said.get("times"), said.get("skip", 0)
        self.messages, self.bytes = said.get("messages", 0), said.get("bytes", 0)
        self.of = said.get("of", "responses")

    def takes(self, method, message):
        if self.method not in ("*", method) or self.left == 0 or self.said.get("digest", "").partition("/")[0].encode() not in message:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True

    @property
    def late(self):
        return bool(self.messages or self.bytes)

    def status(self):
        code, message, details = grpc.StatusCode[self.said["code"]], self.said.get("message", "broken by a rule"), b""
        if "retry_after" in self.said:
            whole, part = divmod(self.said["retry_after"], 1)
            delay = duration_pb2.Duration(seconds=int(whole), nanos=int(part * 1e9)).SerializeToString()
            details = status_details(code, message, "RetryInfo", field(1, delay))
        if "missing" in self.said:
            return missing(self.said["missing"])
        return Broken(code, message, details)


class Counts(collections.defaultdict):
    """Per method; who waits for one of them is told of each change."""

    def __init__(self):
        super().__init__(lambda: {"calls": 0, "requests": 0, "responses": 0, "request_bytes": 0, "response_bytes": 0, "broken": 0, "codes": {}})
        self.changed = asyncio.Event()

    def add(self, method, **numbers):
        counts = self[method]
        for name, number in numbers.items():
            counts[name] += number
        self.changed.set()

    def code(self, method, name):
        self[method]["codes"][name] = self[method]["codes"].get(name, 0) + 1
        self.changed.set()


class Front:
    """The TCP side: each connection is passed on to the gRPC server. Cutting happens here, so a client sees what it sees of a network."""

    def __init__(self, to):
        self.to, self.links, self.port, self.server = to, {}, 0, None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.up_bytes = self.down_bytes = 0

    async def listen(self):
        self.server = await asyncio.start_server(self.connected, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self.server.sockets[0].getsockname()[1]

    async def connected(self, reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to, limit=1 << 20)
        except OSError:
            writer.transport.abort()
            return
        for one in (writer, inner_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own = inner_writer.get_extra_info("sockname")[1]
        self.links[own] = (writer, inner_writer)
        try:
            await asyncio.gather(self.carry(reader, inner_writer, "up_bytes"), self.carry(inner_reader, writer, "down_bytes"))
        except OSError:
            pass
        finally:
            self.cut(own)

    async def carry(self, reader, writer, counter):
        while data := await reader.read(1 << 18):
            if not self.flowing.is_set():
                await self.flowing.wait()
            setattr(self, counter, getattr(self, counter) + len(data))
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    def cut(self, own):
        for writer in self.links.pop(own, ()):
            writer.transport.abort()

    async def down(self, silent):
        if silent:
            self.flowing.clear()
            return
        self.server.close()
        for own in list(self.links):
            self.cut(own)

    async def up(self):
        self.flowing.set()
        if not self.server.is_serving():
            await self.listen()


class Proxy(grpc.GenericRpcHandler):
    def __init__(self, to):
        self.channel = grpc.aio.insecure_channel(to, UPSTREAM)
        self.rules, self.counts, self.required, self.seen, self.going = [], Counts(), {}, {}, set()
        self.front = None

    def service(self, details):
        path = details.method

        async def handler(_, context):
            await self.relay(path, context)

        return grpc.stream_stream_rpc_method_handler(handler)

    def check_headers(self, method, metadata):
        self.seen[method] = {name: value if isinstance(value, str) else base64.b64encode(value).decode() for name, value in metadata}
        if any(self.seen[method].get(name) != value for name, value in self.required.items()):
            raise Broken(grpc.StatusCode.UNAUTHENTICATED, "the credentials are not, or no longer, good")

    async def relay(self, path, context):
        method = path.rpartition("/")[2]
        self.counts.add(method, calls=1)
        try:
            metadata = [(name, value) for name, value in context.invocation_metadata() or () if name != "user-agent" and not name.startswith("grpc-")]
            self.check_headers(method, metadata)
            await Call(self, path, method, context, metadata).run()
            self.counts.code(method, "OK")
        except Broken as broken:
            self.counts.add(method, broken=1)
            if broken.code is None:
                self.front.cut(int(context.peer().rpartition(":")[2]))
                raise asyncio.CancelledError from broken
            await self.end(method, context, broken.code, broken.message, [("grpc-status-details-bin", broken.details)] if broken.details else [])
        except grpc.aio.AioRpcError as error:
            await self.end(method, context, error.code(), error.details() or "", error.trailing_metadata() or ())

    async def end(self, method, context, code, message, trailing):
        self.counts.code(method, code.name)
        context.set_trailing_metadata(tuple((name, value) for name, value in trailing if name == "grpc-status-details-bin" or not name.startswith("grpc-")))
        await context.abort(code, message)

    def drain(self, call):
        """Reads an execution to its end that nobody reads any more, so that the engine goes on with it."""

        async def read():
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass

        task = asyncio.ensure_future(read())
        self.going.add(task)
        task.add_done_callback(self.going.discard)


class Call:
    """One call on its way."""

    def __init__(self, proxy, path, method, context, metadata):
        self.proxy, self.path, self.method, self.context, self.metadata = proxy, path, method, context, metadata
        self.rule = self.upstream = None
        self.passed = {"requests": [0, 0], "responses": [0, 0]}

    async def run(self):
        first = await self.context.read()
        if first is grpc.aio.EOF:
            first = None
        else:
            self.rule = next((rule for rule in self.proxy.rules if rule.takes(self.method, first)), None)
        if self.rule and not self.rule.late and await self.broken_at_once(first):
            return
        self.upstream = self.proxy.channel.stream_stream(self.path)(metadata=self.metadata, timeout=self.context.time_remaining())
        sending = asyncio.ensure_future(self.send(first))
        receiving = asyncio.ensure_future(self.receive())
        try:
            await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_EXCEPTION)
            # An engine may answer before it has read all; one that broke off says why on its side of the call.
            if sending.done() and isinstance(sending.exception(), Broken):
                raise sending.exception()
            await receiving
        except Broken:
            self.leave_behind()
            raise
        except BaseException:
            self.upstream.cancel()
            raise
        finally:
            sending.cancel()
            receiving.cancel()

    def leave_behind(self):
        if self.method in ("Execute", "WaitExecution"):
            self.proxy.drain(self.upstream)
        else:
            self.upstream.cancel()

    async def broken_at_once(self, first):
        rule = self.rule
        if rule.fault == "delay":
            await asyncio.sleep(rule.said["seconds"])
        elif rule.fault == "answer":
            self.proxy.counts.add(self.method, broken=1)
            await self.context.write(base64.b64decode(rule.said["payload"]))
            return True
        elif rule.fault == "evict" and self.method == "Read":
            raise Broken(grpc.StatusCode.NOT_FOUND, "no such blob")
        elif rule.fault == "evict" and self.method == "Execute":
            raise missing(rule.said["digest"])
        elif rule.fault not in ("corrupt", "evict"):
            await self.fault()
        else:
            self.request = first
        return False

    async def fault(self):
        if self.rule.fault == "hang":
            self.proxy.counts.add(self.method, broken=1)
            await asyncio.Event().wait()
        if self.rule.fault == "cut":
            raise Broken
        if self.rule.fault == "delay":
            await asyncio.sleep(self.rule.said["seconds"])
            self.rule = None
            return
        raise self.rule.status()

    async def passes(self, message, way):
        counted = self.passed[way]
        rule = self.rule
        # What counts to the limit passes, the next one does not.
        if rule and rule.late and rule.of == way and ((rule.messages and counted[0] >= rule.messages) or (rule.bytes and counted[1] >= rule.bytes)):
            await self.fault()
        counted[0] += 1
        counted[1] += len(message)
        name = way.removesuffix("s")
        self.proxy.counts.add(self.method, **{way: 1, f"{name}_bytes": len(message)})

    async def send(self, message):
        try:
            while message is not None:
                await self.passes(message, "requests")
                await self.upstream.write(message)
                message = await self.context.read()
                if message is grpc.aio.EOF:
                    break
            await self.upstream.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the engine has ended the call: receive() hears how

    async def receive(self):
        while (message := await self.upstream.read()) is not grpc.aio.EOF:
            if self.rule and self.rule.fault in ("corrupt", "evict"):
                message = self.edited(message)
            await self.passes(message, "responses")
            await self.context.write(message)
            # A stream that is to break after this message breaks now, not when there is another.
            rule = self.rule
            if rule and rule.late and rule.of == "responses" and rule.messages and self.passed["responses"][0] >= rule.messages:
                await self.fault()
        code = await self.upstream.code()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, await self.upstream.initial_metadata(), await self.upstream.trailing_metadata(), await self.upstream.details())

    def edited(self, message):
        self.proxy.counts.add(self.method, broken=1)
        hash_, _, size = self.rule.said.get("digest", "").partition("/")
        if self.method == "Read":
            return flipped(message)  # the data is the message's last field
        if self.method == "BatchReadBlobs":
            answer = reapi.BatchReadBlobsResponse.FromString(message)
            for one in answer.responses:
                if self.rule.fault == "corrupt":
                    one.data = flipped(one.data)
                elif one.digest.hash == hash_:
                    one.data, one.status.code = b"", NOT_FOUND
            return answer.SerializeToString()
        if self.method == "FindMissingBlobs" and self.rule.fault == "evict":
            answer = reapi.FindMissingBlobsResponse.FromString(message)
            if all(one.hash != hash_ for one in answer.missing_blob_digests):
                answer.missing_blob_digests.add(hash=hash_, size_bytes=int(size))
            return answer.SerializeToString()
        return message


class Control:
    def __init__(self, proxy, front):
        self.proxy, self.front = proxy, front

    async def connected(self, reader, writer):
        while line := await reader.readline():
            try:
                said = json.loads(line)
                answer = {"ok": True} | (await getattr(self, f"do_{said.pop('do')}")(**said) or {})
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def do_rules(self, rules):
        self.proxy.rules = [Rule(one) for one in rules]

    async def do_counts(self):
        return {"methods": self.proxy.counts, "sent": self.front.up_bytes, "received": self.front.down_bytes}

    async def do_reset(self):
        self.proxy.counts.clear()
        self.front.up_bytes = self.front.down_bytes = 0

    async def do_seen(self, method):
        return {"metadata": self.proxy.seen.get(method)}

    async def do_require(self, headers):
        self.proxy.required = headers

    async def do_link(self, up, silent=False):
        await (self.front.up() if up else self.front.down(silent))

    async def do_wait(self, method, what="calls", count=1, seconds=60):
        counts = self.proxy.counts
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(seconds):
                while counts[method][what] < count:
                    counts.changed.clear()
                    await counts.changed.wait()
        return {"ok": counts[method][what] >= count}


def credentials(arguments):
    def content(path):
        with open(path, "rb") as file:
            return file.read()

    authority = content(arguments.tls_ca) if arguments.tls_ca else None
    return grpc.ssl_server_credentials([(content(arguments.tls_key), content(arguments.tls_cert))], authority, require_client_auth=bool(authority))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, help="the engine, as gRPC takes it: HOST:PORT, unix:/PATH")
    parser.add_argument("--control", required=True, help="path of a unix socket to make")
    parser.add_argument("--tls-cert", help="PEM: the server speaks TLS")
    parser.add_argument("--tls-key")
    parser.add_argument("--tls-ca", help="PEM: clients have to show a certificate of this authority")
    arguments = parser.parse_args()
    proxy = Proxy(arguments.to)
    server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((proxy,))
    port = server.add_secure_port("127.0.0.1:0", credentials(arguments)) if arguments.tls_cert else server.add_insecure_port("127.0.0.1:0")
    await server.start()
    front = proxy.front = Front(port)
    await front.listen()
    control = await asyncio.start_unix_server(Control(proxy, front).connected, arguments.control, limit=1 << 26)
    print(json.dumps({"port": front.port}), flush=True)
    ended = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, ended.set)
    await ended.wait()
    control.close()
    await server.stop(None)
    await proxy.channel.close()


if __name__ == "__main__":
    asyncio.run(main())
