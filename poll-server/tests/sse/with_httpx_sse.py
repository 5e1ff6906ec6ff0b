"""Follows an event stream with httpx-sse and prints each message.

It does not reconnect by itself; this does so as its documentation shows: with the last id, after the time that the server
asks for.
"""

import sys
import time

import httpx
from httpx_sse import connect_sse


def messages(client, url):
    last_id, delay = "", 0.1
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            with connect_sse(client, "GET", url, headers=headers) as source:
                for event in source.iter_sse():
                    last_id = event.id
                    if event.retry is not None:
                        delay = event.retry / 1000
                    if event.event == "message":
                        yield event.data
        except httpx.TransportError as error:
            print(f"httpx-sse: {error!r}", file=sys.stderr)
        time.sleep(delay)


with httpx.Client(timeout=httpx.Timeout(10, read=None)) as client:
    for message in messages(client, sys.argv[1]):
        print(message, flush=True)
