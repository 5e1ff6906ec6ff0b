"""What an OpenAPI document cannot say of requests: which parameters exclude each other, and what makes a stream end.

A request that is meant to be valid is put right where two valid parts do not fit together; one that is meant to be wrong
is kept wrong where another part would have taken precedence.
"""

import itertools
import json
import re

import schemathesis

UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
START = "00000000-0000-0000-0000-000000000000"
STREAMS = ("/api/stream", "/api/push", "/api/progress/{job}")
# In the dialects a parameter without a value counts as absent.
MAY_BE_EMPTY = ("after", "last_message_id", "since", "timeout")

_count = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    if not is_valid(case):
        keep_wrong(case)
    # Where the wrong part was one that was taken out, nothing is wrong any more.
    if is_valid(case):
        make_valid(case)
    after = case.query.get("after")
    if case.method == "GET" and isinstance(after, str) and UUID.fullmatch(after):
        # Any other id is answered ten seconds later.
        case.query["after"] = START


def is_valid(case):
    return case.meta is None or case.meta.generation.mode.is_positive


def make_valid(case):
    query, path = case.query, case.operation.path
    if query.get("cursor") is not None:
        # Two positions; and not every token of the right form is one.
        query.pop("last_id", None)
        query["cursor"] = "0" * 32
    if path in ("/api/poll", "/api/longpoll", "/api/stream", "/api/push") and len(query.get("channel") or ()) > 1:
        # A number of one channel.
        query.pop("last_id", None)
    if path in STREAMS and case.method == "GET" and next(_count) % 2:
        # One that ends.
        query.update({"format": "lines", "cursor": "0" * 32})
        query.pop("last_id", None)
        query.pop("lastEventId", None)
        case.headers.pop("Last-Event-ID", None)
        if path.startswith("/api/progress"):
            case.path_parameters["job"] = "ended"
        else:
            query["channel"] = ["progress/ended"]
    if path == "/v1/stream/{name}":
        make_stream_valid(case)
    if path == "/events" and "last_id" in query:
        query.setdefault("since_time", 1)
    if path == "/api/message" and case.method == "POST":
        if "Idempotency-Key" in case.headers:
            # Each publish has a key of its own.
            case.headers["Idempotency-Key"] = f"key-{next(_count)}"
        has_body = isinstance(case.body, (bytes, str, dict, list, int, float, bool)) or case.body is None
        if has_body:
            query.pop("content", None)
        elif not query.get("content"):
            query["content"] = "x"
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
        # The head of a part is ASCII, so what fields are called cannot be anything.
        case.body = {name: value for name, value in case.body.items() if name.isascii() and name.isprintable()}
    if path == "/api/progress/{job}" and case.method == "POST" and isinstance(case.body, dict):
        case.body["step"] = min(case.body["step"], case.body["total"])


def make_stream_valid(case):
    query, headers = case.query, case.headers
    if query.get("live") is not None:
        # A live read begins somewhere; one by events ends after a minute.
        query.update({"live": "long-poll", "offset": "-1"})
    if query.get("offset") is not None:
        # Not every offset of the right form is within the stream.
        query["offset"] = "-1"
    if headers is None:
        return
    producer = ("Producer-Id", "Producer-Epoch", "Producer-Seq")
    if all(name in headers for name in producer):
        # A later epoch begins with 0.
        headers["Producer-Epoch"] = "0"
    else:
        for name in producer:
            headers.pop(name, None)
    if "Stream-TTL" in headers:
        headers.pop("Stream-Expires-At", None)
    for name in ("Stream-Forked-From", "Stream-Fork-Offset", "Stream-Fork-Sub-Offset"):
        # Which belong together, and name a stream that is there.
        headers.pop(name, None)
    if case.method == "POST" and not isinstance(case.body, (int, float, bool)) and not case.body:
        # There has to be something to append.
        case.body, case.media_type = "x", "text/plain"


def keep_wrong(case):
    query = case.query if isinstance(case.query, dict) else {}
    # Goes before `cursor` and `last_id`, so that those would not be looked at.
    query.pop("lastEventId", None)
    if case.headers:
        case.headers.pop("Last-Event-ID", None)
    for name in MAY_BE_EMPTY:
        if name in query and query[name] in ("", None, [], {}):
            query[name] = "wrong"
    if case.operation.path == "/api/message":
        # Would be the message, whatever is wrong with the body.
        query.pop("content", None)


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    return [json.loads(line) for line in response.content.decode().split("\n") if line]


@schemathesis.serializer("application/x-ndjson")
def write_lines(context, value):
    values = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(value) for value in values).encode()
