"""A small REAPI client of the Python stubs in BuildStream's wheel: what tests of the engines and of the proxy speak. Runs in build/casd-venv."""

import hashlib
import uuid

import grpc
from buildstream._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as reapi
from buildstream._protos.build.bazel.remote.execution.v2 import remote_execution_pb2_grpc as services
from buildstream._protos.google.bytestream import bytestream_pb2 as bytestream
from buildstream._protos.google.bytestream import bytestream_pb2_grpc as bytestream_services

CHUNK = 1 << 20


def digest(content):
    return reapi.Digest(hash=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


class Client:
    """Calls have no retries: a test wants to see what came."""

    def __init__(self, target, instance="", headers=(), credentials=None, timeout=30):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        self.instance, self.options = instance, {"timeout": timeout, "metadata": tuple(headers)}
        self.cas = services.ContentAddressableStorageStub(self.channel)
        self.execution = services.ExecutionStub(self.channel)
        self.bytes = bytestream_services.ByteStreamStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def resource(self, wanted, upload=False):
        parts = [self.instance] if self.instance else []
        parts += ["uploads", str(uuid.uuid4())] if upload else []
        return "/".join([*parts, "blobs", wanted.hash, str(wanted.size_bytes)])

    def capabilities(self):
        request = reapi.GetCapabilitiesRequest(instance_name=self.instance)
        return services.CapabilitiesStub(self.channel).GetCapabilities(request, **self.options)

    def missing(self, *digests):
        request = reapi.FindMissingBlobsRequest(instance_name=self.instance, blob_digests=digests)
        return [one.hash for one in self.cas.FindMissingBlobs(request, **self.options).missing_blob_digests]

    def put(self, *contents):
        """By batch; the status code of each."""
        request = reapi.BatchUpdateBlobsRequest(instance_name=self.instance)
        for content in contents:
            request.requests.add(digest=digest(content), data=content)
        return [one.status.code for one in self.cas.BatchUpdateBlobs(request, **self.options).responses]

    def get(self, *digests):
        """By batch: (status code, content) of each, in the order asked for."""
        request = reapi.BatchReadBlobsRequest(instance_name=self.instance, digests=digests)
        found = {one.digest.hash: (one.status.code, one.data) for one in self.cas.BatchReadBlobs(request, **self.options).responses}
        return [found[one.hash] for one in digests]

    def write(self, content, name=None, offset=0):
        """By stream; how much the engine has then."""
        name = name or self.resource(digest(content), upload=True)

        def requests():
            for begin in range(offset, len(content), CHUNK):
                end = min(begin + CHUNK, len(content))
                yield bytestream.WriteRequest(resource_name=name, write_offset=begin, data=content[begin:end], finish_write=end == len(content))

        return self.bytes.Write(requests(), **self.options).committed_size

    def read(self, wanted):
        request = bytestream.ReadRequest(resource_name=self.resource(wanted))
        return b"".join(one.data for one in self.bytes.Read(request, **self.options))

    def action(self, *argv, files=(), outputs=("out",), cache=False, platform=(), timeout=None):
        """Uploads an action with `files` ((name, content) pairs) as its input root; its digest. Without `cache` each is another."""
        root = reapi.Directory()
        for name, content in sorted(files):
            root.files.add(name=name, digest=digest(content))
        command = reapi.Command(arguments=argv, output_paths=outputs)
        command.environment_variables.add(name="PATH", value="/usr/bin:/bin")
        for name, value in platform:
            command.platform.properties.add(name=name, value=value)
        salt = b"" if cache else uuid.uuid4().bytes
        blobs = [root.SerializeToString(), command.SerializeToString()]
        action = reapi.Action(command_digest=digest(blobs[1]), input_root_digest=digest(blobs[0]), do_not_cache=not cache, salt=salt, platform=command.platform)
        if timeout:
            action.timeout.seconds = timeout
        blobs += [action.SerializeToString(), *(content for _, content in files)]
        assert set(self.put(*blobs)) == {0}
        return digest(blobs[2])

    def execute(self, action, cache=False):
        """The stream of Execute."""
        request = reapi.ExecuteRequest(instance_name=self.instance, action_digest=action, skip_cache_lookup=not cache)
        return self.execution.Execute(request, **self.options)

    def wait(self, name):
        return self.execution.WaitExecution(reapi.WaitExecutionRequest(name=name), **self.options)

    def run(self, *argv, cache=False, **options):
        """What the whole of an action came to: an ExecuteResponse."""
        return answer(self.execute(self.action(*argv, cache=cache, **options), cache))

    def shell(self, text, **options):
        return self.run("/bin/sh", "-c", text, **options)

    def out(self, response):
        """Standard output of an ExecuteResponse."""
        result = response.result
        return result.stdout_raw or (self.read(result.stdout_digest) if result.stdout_digest.size_bytes else b"")


def answer(operations):
    """The ExecuteResponse at the end of a stream of operations."""
    last = None
    for last in operations:
        pass
    assert last is not None and last.done, last
    response = reapi.ExecuteResponse()
    if last.WhichOneof("result") == "error":
        response.status.CopyFrom(last.error)
    else:
        last.response.Unpack(response)
    return response
