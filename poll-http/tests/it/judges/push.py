"""Reads push streams over one connection with Python's h2, which ends it at the first frame that is not allowed.

Arguments: host, port, paths. Prints the text of every stream that was pushed, a line each.
"""

import socket
import sys

import h2.config
import h2.connection
import h2.events

host, port, *paths = sys.argv[1:]
wire = socket.create_connection((host, int(port)), timeout=50)
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
connection.initiate_connection()
open_streams = set()
for path in paths:
    stream = connection.get_next_available_stream_id()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)]
    connection.send_headers(stream, fields, end_stream=True)
    open_streams.add(stream)
wire.sendall(connection.data_to_send())
texts = {}
while open_streams:
    received = wire.recv(65536)
    if not received:
        sys.exit("the server closed the connection")
    for event in connection.receive_data(received):
        if isinstance(event, h2.events.DataReceived):
            texts[event.stream_id] = texts.get(event.stream_id, b"") + event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            open_streams.discard(event.stream_id)
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            sys.exit(repr(event))
    wire.sendall(connection.data_to_send())
for stream, text in texts.items():
    if stream % 2 == 0:
        print(text.decode())
