"""Calls a service of a running job with Triton's own client. Arguments: host:port, model, and a file that grows with
every round of calls. Prints what it found, as JSON."""

import json
import sys

import numpy
import tritonclient.http as client
from tritonclient.utils import InferenceServerException

address, model, pace = sys.argv[1:4]
server = client.InferenceServerClient(address, concurrency=8)
found = {
    "live": server.is_server_live(),
    "ready": server.is_server_ready(),
    "model_ready": server.is_model_ready(model),
    "metadata": server.get_model_metadata(model),
    "calls": [],
}


def inputs(rows, binary):
    vector = client.InferInput("vector", [rows, 2], "FP32")
    vector.set_data_from_numpy(numpy.arange(rows * 2, dtype=numpy.float32).reshape(rows, 2), binary_data=binary)
    text = client.InferInput("text", [rows], "BYTES")
    text.set_data_from_numpy(numpy.array([f"grün-{i}".encode() for i in range(rows)], dtype=object), binary_data=binary)
    origin = client.InferInput("from", [rows], "BYTES")
    origin.set_data_from_numpy(numpy.array([b"outside"] * rows, dtype=object), binary_data=binary)
    return [vector, text, origin]


for binary in (True, False):
    for _ in range(10):
        with open(pace, "a") as file:
            file.write("..")
        wanted = [client.InferRequestedOutput(name, binary_data=binary) for name in ("sum", "shout", "together", "mixed")]
        waiting = [server.async_infer(model, inputs(3, binary), outputs=wanted) for _ in range(4)]
        for one in waiting:
            answer = one.get_result()
            found["calls"].append(
                {
                    "binary": binary,
                    "sum": answer.as_numpy("sum").tolist(),
                    "shout": [value.decode() if isinstance(value, bytes) else value for value in answer.as_numpy("shout").tolist()],
                    "together": answer.as_numpy("together").tolist(),
                    "mixed": [bool(value) for value in answer.as_numpy("mixed").tolist()],
                }
            )

errors = {}
for name, wrong_model, wrong in (
    ("unknown", "nothing", inputs(1, True)),
    ("missing", model, inputs(1, True)[:1]),
):
    try:
        server.infer(wrong_model, wrong)
    except InferenceServerException as error:
        errors[name] = {"status": error.status(), "message": error.message()}
found["errors"] = errors
print(json.dumps(found))
