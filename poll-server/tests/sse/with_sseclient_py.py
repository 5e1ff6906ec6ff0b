"""Follows an event stream with sseclient-py over requests and prints each message.

It parses a response and leaves reconnecting to its caller: here with the id of the last event that had one.
"""

import sys
import time

import requests
import sseclient


def messages(url):
    last_id, delay = "", 0.1
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            response = requests.get(url, stream=True, headers=headers, timeout=(10, None))
            for event in sseclient.SSEClient(response).events():
                last_id = event.id or last_id
                if event.retry is not None:
                    delay = int(event.retry) / 1000
                if event.event == "message":
                    yield event.data
        except requests.RequestException as error:
            print(f"sseclient-py: {error!r}", file=sys.stderr)
        time.sleep(delay)


for message in messages(sys.argv[1]):
    print(message, flush=True)
