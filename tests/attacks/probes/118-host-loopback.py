# class: hard
# tries: connect to a listener on the host's 127.0.0.1
# must: ECONNREFUSED: a loopback of its own
host, port = needed("tcp").rsplit(":", 1)
result = attempt(socket.create_connection, (host, int(port)), 2)
if failed(result):
    held(repr(result))
if TOKEN.encode() in result.recv(64):
    escaped("the host's loopback")
held("somebody else's")
