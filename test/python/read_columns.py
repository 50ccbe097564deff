"""Reads a Parquet or Arrow file with pyarrow, and nothing of Millrace.

    read_columns.py <file>

Prints one JSON object: for every column, and every part of a nested one, what pyarrow knows of its type, and the rows.
Bytes are {"base64": ...}. Checks the data against its types before.
"""

import base64
import json
import sys

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

NAME = b"ARROW:extension:name"
METADATA = b"ARROW:extension:metadata"


def read(path):
    if path.endswith(".parquet"):
        return pyarrow.parquet.read_table(path)
    with pyarrow.ipc.open_file(path) as file:
        return file.read_all()


def describe(field):
    known = isinstance(field.type, pyarrow.BaseExtensionType)
    storage = field.type.storage_type if known else field.type
    found = {"nullable": field.nullable}
    if isinstance(field.type, pyarrow.FixedShapeTensorType):
        found["tensor"] = {
            "of": str(field.type.value_type),
            "shape": field.type.shape,
            "dim_names": field.type.dim_names,
            "permutation": field.type.permutation,
        }
    elif field.metadata is not None and NAME in field.metadata:
        found["extension"] = field.metadata[NAME].decode()
        text = field.metadata[METADATA].decode()
        found["metadata"] = json.loads(text) if text else None
    if pyarrow.types.is_struct(storage):
        found["parts"] = {part.name: describe(part) for part in storage.fields}
    elif pyarrow.types.is_list(storage):
        found["item"] = describe(storage.value_field)
    elif pyarrow.types.is_fixed_size_list(storage):
        found["item"] = describe(storage.value_field)
        found["size"] = storage.list_size
    else:
        found["type"] = str(storage)
    return found


def shown(value):
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(type(value))


table = read(sys.argv[1])
table.validate(full=True)
columns = {field.name: describe(field) for field in table.schema}
print(json.dumps({"columns": columns, "rows": table.to_pylist()}, default=shown))
