"""A service handler in Python: counts the words of a text. It speaks Millrace's frames over NATS.

The upper part is the protocol and does not change from handler to handler; the last part is yours. Who it is, where NATS
is and the columns of the service stand as JSON in the environment variable MILLRACE_INSTANCE. It needs the packages of
requirements.txt. docs/services.md ("Another language") and docs/wire-format.md say what is done here and why.

What it leaves out: putting requests together (each is one call), and answering a repeated row without working on it again.
"""

import asyncio
import base64
import hashlib
import io
import json
import os
import pathlib
import signal
import ssl
import sys
import time
import uuid

import fastavro
import nats
import pyarrow
from fastavro.schema import fingerprint, to_parsing_canonical_form

SETTINGS = json.loads(os.environ["MILLRACE_INSTANCE"])
PART_BYTES = 512 * 1024


class Refused(Exception):
    """Raised for one row that cannot be answered. The others go on; this one becomes a dead letter."""


class Frames:
    """Avro in the single-object encoding, by the schemas of the package."""

    def __init__(self, folder):
        self.by_name, self.by_fingerprint = {}, {}
        for path in folder.glob("*.avsc"):
            schema = json.loads(path.read_text("utf-8"))
            name = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
            parsed = fastavro.parse_schema(schema, named_schemas={})
            self.by_name[path.stem] = (name, parsed)
            self.by_fingerprint[name] = (path.stem, parsed)

    def encode(self, kind, record):
        name, schema = self.by_name[kind]
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, record)
        return b"\xc3\x01" + name + body.getvalue()

    def decode(self, frame):
        if frame[:2] != b"\xc3\x01" or frame[2:10] not in self.by_fingerprint:
            return None, None
        kind, schema = self.by_fingerprint[frame[2:10]]
        return kind, fastavro.schemaless_reader(io.BytesIO(frame[10:]), schema, None)


class Parts:
    """Messages above the server's max_payload come and go in parts (docs/bus.md)."""

    def __init__(self):
        self.publisher, self.number, self.open = uuid.uuid4().hex[:12], 0, {}

    def whole(self, message):
        header = (message.headers or {}).get("Mr-Part")
        if header is None:
            return message.data
        name, place = header.split(" ")
        offset, total = (int(size) for size in place.split("/"))
        key = (name.split(".")[0], message.subject)
        if offset == 0:
            self.open[key] = (name, bytearray())
        begun, data = self.open.get(key, ("", bytearray()))
        if begun != name or len(data) != offset:
            self.open.pop(key, None)
            return None
        data += message.data
        if len(data) < total:
            return None
        del self.open[key]
        return bytes(data)

    async def publish(self, connection, subject, frame):
        if len(frame) <= PART_BYTES:
            return await connection.publish(subject, frame)
        self.number += 1
        for offset in range(0, len(frame), PART_BYTES):
            header = {"Mr-Part": f"{self.publisher}.{self.number} {offset}/{len(frame)}"}
            await connection.publish(subject, frame[offset : offset + PART_BYTES], headers=header)


def connection_options():
    """Who we are to NATS, and how we speak with it, as nats-py names them."""
    told = SETTINGS["nats"]
    names = {"user": "user", "password": "password", "token": "token", "nkeyFile": "nkeys_seed", "credsFile": "user_credentials"}
    options = {name: told[key] for key, name in names.items() if key in told}
    if "inbox" in told:
        options["inbox_prefix"] = told["inbox"].encode()
    if told.keys() & {"caFile", "certFile"}:
        options["tls"] = ssl.create_default_context(cafile=told.get("caFile"))
        if "certFile" in told:
            options["tls"].load_cert_chain(told["certFile"], told["keyFile"])
    return options


class Instance:
    def __init__(self, handler):
        self.handler, self.frames, self.parts = handler, Frames(pathlib.Path(SETTINGS["schemas"])), Parts()
        self.input = pyarrow.ipc.read_schema(pyarrow.py_buffer(base64.b64decode(SETTINGS["input"])))
        self.output_message = base64.b64decode(SETTINGS["output"])
        self.output = pyarrow.ipc.read_schema(pyarrow.py_buffer(self.output_message))
        self.output_id = hashlib.sha256(self.output_message).digest()[:8]
        self.state, self.reason, self.code, self.entered = "PROVISIONING", "", "", 0
        self.sequence, self.row_ms, self.queue, self.running = 0, 0.0, [], None
        self.knows_schema, self.wake = set(), asyncio.Event()

    async def run(self):
        self.nats = await nats.connect(SETTINGS["nats"]["servers"], max_reconnect_attempts=-1, **connection_options())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.drain)
        loop.add_reader(sys.stdin.fileno(), self.orphaned)
        try:
            await self.enter("LOADING")
            await asyncio.to_thread(self.handler.load)
        except Exception as error:
            self.reason, self.code = str(error), "MILL_SERVICE_FAILED"
            await self.enter("FAILED")
            await self.nats.flush()
            raise
        requests = await self.nats.subscribe(SETTINGS["subjects"]["request"], cb=self.take)
        await self.nats.subscribe(SETTINGS["subjects"]["ask"], cb=self.say)
        await self.nats.flush()
        if self.state != "DRAINING":
            await self.enter("READY")
        beat = asyncio.create_task(self.beat())
        while self.state != "DRAINING":
            await self.work()
        for request in self.queue:
            await self.answer(request, "RETURNED", message="the instance is draining")
        self.queue = []
        await requests.drain()  # what has come up to here is given back too; STOPPED tells of the rest
        beat.cancel()
        await self.enter("STOPPED")
        await self.nats.drain()

    def orphaned(self):
        """Nothing is ever written to our standard input: that it can be read means that it has ended, with our parent."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self.drain()

    def drain(self):
        """Takes nothing new, gives back what waits, finishes what runs."""
        if self.state != "DRAINING":
            self.draining = asyncio.create_task(self.enter("DRAINING"))
            self.wake.set()

    async def take(self, message):
        frame = self.parts.whole(message)
        kind, record = self.frames.decode(frame) if frame is not None else (None, None)
        if kind == "cancel":
            gone = set(record["requests"])
            self.queue = [one for one in self.queue if one["client"] != record["client"] or one["id"] not in gone]
        if kind != "request":
            return
        held = self.queue + ([self.running] if self.running else [])
        if any(one["id"] == record["id"] for one in held):
            return  # it is on its way already
        record["arrived"] = time.monotonic()
        if self.state == "DRAINING" or record["instance"] != SETTINGS["instance"]:
            return await self.answer(record, "RETURNED", message="the instance is draining, or another one was asked")
        waiting = sum(one["rows"] for one in self.queue)
        if self.queue and waiting + record["rows"] > SETTINGS["queueRowsMax"]:
            return await self.answer(record, "REJECTED", message="the instance's queue is full")
        self.queue.append(record)
        self.wake.set()

    async def work(self):
        if not self.queue:
            await self.wake.wait()
            self.wake.clear()
            return
        self.running = self.queue.pop(0)
        request, begin = self.running, time.monotonic()
        late = request["timeoutMs"] > 0 and (begin - request["arrived"]) * 1000 > request["timeoutMs"]
        try:
            if late:
                outcome = ("EXPIRED", {})
            else:
                # In a thread, so that heartbeats go on and requests are taken meanwhile.
                batch, refused = await asyncio.to_thread(self.infer, request)
                each = (time.monotonic() - begin) * 1000 / request["rows"]
                self.row_ms = each if self.row_ms == 0 else self.row_ms + 0.2 * (each - self.row_ms)
                outcome = ("OK", {"batch": batch, "refused": refused})
        except Exception as error:
            outcome = ("FAILED", {"code": "MILL_SERVICE_FAILED", "message": f"{type(error).__name__}: {error}"})
        self.running = None
        await self.answer(request, outcome[0], **outcome[1])

    def infer(self, request):
        rows = pyarrow.ipc.read_record_batch(pyarrow.py_buffer(request["payload"]), self.input).to_pylist()
        answers, refused = [], []
        for number, row in enumerate(rows):
            try:
                answers.append(self.handler.infer(row, request["traceparent"]))
            except Refused as error:
                refused.append({"row": number, "code": "MILL_RECORD_INVALID", "message": str(error)})
                answers.append(self.handler.EMPTY)  # its place must be filled; what stands there means nothing
        return pyarrow.RecordBatch.from_pylist(answers, schema=self.output), refused

    async def answer(self, request, status, batch=None, refused=(), code="", message=""):
        client = request["client"]
        new = batch is not None and client not in self.knows_schema
        self.knows_schema.update([client] if new else [])
        record = {
            "id": request["id"],
            "instance": SETTINGS["instance"],
            "status": status,
            "code": code,
            "message": message,
            "rejectedRows": list(refused),
            "rows": 0 if batch is None else batch.num_rows,
            "load": self.report(),
            "schemaId": self.output_id,
            "schema": self.output_message if new else None,
            "retryAfterMs": 0,
            "repeatedRows": 0,
            "payload": b"" if batch is None else batch.serialize().to_pybytes(),
        }
        await self.parts.publish(self.nats, SETTINGS["subjects"]["answer"] + client, self.frames.encode("answer", record))

    def report(self):
        self.sequence += 1
        return {
            "service": SETTINGS["service"],
            "instance": SETTINGS["instance"],
            "sequence": self.sequence,
            "subject": SETTINGS["subjects"]["request"],
            "state": self.state,
            "queuedRows": sum(one["rows"] for one in self.queue),
            "runningRows": self.running["rows"] if self.running else 0,
            "rowMs": self.row_ms,
            "reason": self.reason,
            "code": self.code,
            "enteredMs": self.entered,
        }

    async def publish_load(self):
        await self.nats.publish(SETTINGS["subjects"]["load"], self.frames.encode("load-report", self.report()))

    async def enter(self, state):
        self.state, self.entered = state, round(time.time() * 1000)
        await self.publish_load()

    async def say(self, message):
        """A client has come up: it hears of us at once, and not at the next heartbeat."""
        frame = self.parts.whole(message)
        if frame is not None and self.frames.decode(frame)[0] == "ask":
            await self.publish_load()

    async def beat(self):
        while True:
            await asyncio.sleep(SETTINGS["heartbeatMs"] / 1000)
            await self.publish_load()


# What follows is yours: load once, answer row by row. The columns are those of the service in topology.ts.


class WordCount:
    EMPTY = {"words": 0, "longest": ""}

    def load(self):
        self.separators = str.maketrans({mark: " " for mark in ",.;:!?"})

    def infer(self, row, traceparent):
        """traceparent: send it as the header of that name with what you call; empty: this request is not traced."""
        words = row["text"].translate(self.separators).split()
        if not words:
            raise Refused("the text has no words")
        return {"words": len(words), "longest": max(words, key=len)}


if __name__ == "__main__":
    asyncio.run(Instance(WordCount()).run())
