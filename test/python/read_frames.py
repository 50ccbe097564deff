"""Reads golden frames with fastavro and pyarrow, and nothing of Millrace.

    read_frames.py <schemas folder> <frames folder>

For every <name>.hex it checks the marker, looks the schema up by the fingerprint that fastavro computes, compares the
header and the rows of the Arrow payload with <name>.json, and checks the id of the Arrow schema. The standard input is
a JSON object from kind to fingerprint (16 hex digits as they stand in a frame): what Millrace says of every schema.
Prints one line per frame; exits with 1 when anything differs.
"""

import datetime
import hashlib
import io
import json
import pathlib
import sys

import fastavro
import pyarrow
from fastavro.schema import fingerprint, to_parsing_canonical_form

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def load_schemas(folder):
    """From fingerprint to (kind, schema), each file on its own: every schema must be whole in itself."""
    found = {}
    for path in [p for part in (".", "control", "stored") for p in sorted((folder / part).glob("*.avsc"))]:
        schema = json.loads(path.read_text("utf-8"))
        name = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        found[name] = (path.stem, fastavro.parse_schema(schema, named_schemas={}))
    return found


def read_hex(path):
    lines = path.read_text("utf-8").splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def read_frame(frame, schemas):
    assert frame[:2] == b"\xc3\x01", "no marker"
    kind, schema = schemas[frame[2:10].hex()]
    body = io.BytesIO(frame[10:])
    record = fastavro.schemaless_reader(body, schema, None)
    assert body.read() == b"", "bytes after the record"
    return kind, record


def plain(value):
    """As the expected JSON has it: bytes as hex, times as milliseconds."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return round((value - EPOCH) / datetime.timedelta(milliseconds=1))
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value


def read_rows(message, schema_message):
    schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(schema_message))
    batch = pyarrow.ipc.read_record_batch(pyarrow.py_buffer(message), schema)
    batch.validate(full=True)
    return schema, [plain(row) for row in batch.to_pylist()]


def check(path, folder, schemas):
    expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
    kind, record = read_frame(read_hex(path), schemas)
    assert kind == expected["kind"], f"kind {kind}, expected {expected['kind']}"
    payload = record.pop("payload", b"")
    assert plain(record) == expected["header"], f"header {plain(record)}, expected {expected['header']}"
    if "rows" not in expected:
        assert payload == b"", "a payload, expected none"
        return f"{path.stem}: {kind}"
    schema_message = record["schema"]
    if schema_message is None:
        schema_message = read_frame(read_hex(folder / f"{expected['schemaFrom']}.hex"), schemas)[1]["schema"]
    assert hashlib.sha256(schema_message).digest()[:8] == record["schemaId"], "the schema's id is of other bytes"
    schema, rows = read_rows(payload, schema_message)
    assert len(rows) == record["rows"], f"{len(rows)} rows, header says {record['rows']}"
    assert rows == expected["rows"], f"rows {rows}, expected {expected['rows']}"
    for field in schema:
        if field.name == "ref":
            assert field.metadata[b"ARROW:extension:name"] == b"millrace.object_ref", "extension type lost"
    return f"{path.stem}: {kind}, {len(rows)} rows of {', '.join(f'{f.name} {f.type}' for f in schema)}"


def main():
    schema_folder, folder = map(pathlib.Path, sys.argv[1:3])
    schemas = load_schemas(schema_folder)
    stated = json.load(sys.stdin)
    computed = {kind: name for name, (kind, _) in schemas.items()}
    failures = 0
    if stated != computed:
        print(f"FAILED fingerprints: {set(stated.items()) ^ set(computed.items())}")
        failures += 1
    paths = sorted(folder.glob("*.hex"))
    for path in paths:
        try:
            print(f"ok {check(path, folder, schemas)}")
        except (AssertionError, KeyError, ValueError, EOFError, pyarrow.ArrowException) as error:
            print(f"FAILED {path.stem}: {type(error).__name__}: {error}")
            failures += 1
    print(f"read {len(paths)} frames and {len(schemas)} schemas with fastavro {fastavro.__version__} and pyarrow {pyarrow.__version__}")
    sys.exit(1 if failures or not paths else 0)


main()
