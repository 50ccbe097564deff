"""What schemathesis sends is bent in three ways, for test/integration/http-fuzz.test.ts.

Two thirds of the requests name what there is, so that they come further than "there is no such job"; what would end the job never does.
Services are scaled to a few instances at most. Nobody has a token: wrong ones would soon be slowed down, right ones too, and that is tested elsewhere.

MILLRACE_FUZZ_NAMES: JSON, names by the parameter of a path, such as {"job": "told-words-..."}.
"""

import json
import os
import zlib

import schemathesis

NAMES = json.loads(os.environ["MILLRACE_FUZZ_NAMES"])
ENDS_THE_JOB = {"cancelJob", "stopJob", "deleteJob", "createSavepoint", "drainWorker"}


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    raw_schema.pop("security", None)


# More processes than a machine of tests has room for: what is tested here is the API.
INSTANCES_MAX = 4


@schemathesis.hook
def before_call(ctx, case, kwargs):
    body = case.body if isinstance(case.body, dict) else {}
    if type(body.get("instances")) is int and body["instances"] > INSTANCES_MAX:
        wanted = body["instances"]
        # Above the most that the schema allows it stays: that is to be refused.
        case.body = {**body, "instances": wanted % (INSTANCES_MAX + 1) if wanted <= 10_000 else wanted}
    given = case.path_parameters
    if not given:
        return
    if case.operation.definition.raw.get("operationId") in ENDS_THE_JOB:
        # schemathesis also sends what it has seen in answers.
        case.path_parameters = {name: "nobody" if value in NAMES.values() else value for name, value in given.items()}
        return
    # Not at random: a run with the same seed makes the same requests.
    drawn = zlib.crc32(repr(sorted(given.items())).encode("utf-8", "surrogatepass")) % 3
    if drawn > 0:
        case.path_parameters = {name: NAMES.get(name, value) for name, value in given.items()}
