"""What schemathesis sends is bent in four ways, for test/integration/http-fuzz.test.ts.

Two thirds of the requests name what there is, so that they come further than "there is no such job"; what would end the job never does.
Services are scaled to a few instances at most. Half of what is uploaded goes where it belongs. Nobody has a token: wrong ones would soon be slowed down, right ones too, and that is tested elsewhere.

MILLRACE_FUZZ_NAMES: JSON, names by the parameter of a path, such as {"job": "told-words-..."}.
"""

import hashlib
import json
import os
import zlib

import schemathesis
from hypothesis import strategies

NAMES = json.loads(os.environ["MILLRACE_FUZZ_NAMES"])
ENDS_THE_JOB = {"cancelJob", "stopJob", "deleteJob", "createSavepoint", "drainWorker"}


UPLOADS = {"uploadBundle", "uploadAsset"}

# It knows bodies of bytes by this name alone.
schemathesis.openapi.media_type("application/javascript", strategies.binary())


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    raw_schema.pop("security", None)


# More processes than a machine of tests has room for: what is tested here is the API. (The job's service also declares so much memory
# that no machine holds many.)
INSTANCES_MAX = 4
# What the schema allows; above it stays: that is to be refused.
ALLOWED_MAX = 1_000


@schemathesis.hook
def before_call(ctx, case, kwargs):
    body = case.body if isinstance(case.body, dict) else {}
    wanted = body.get("instances")
    # To JSON, 900.0 is a whole number, too.
    if isinstance(wanted, (int, float)) and INSTANCES_MAX < wanted <= ALLOWED_MAX and wanted == int(wanted):
        case.body = {**body, "instances": int(wanted) % (INSTANCES_MAX + 1)}
    given = case.path_parameters
    if not given:
        return
    operation = case.operation.definition.raw.get("operationId")
    if operation in UPLOADS and isinstance(case.body, bytes) and len(case.body) % 2 == 0:
        # Nobody comes upon the right name by chance.
        case.path_parameters = {"sha256": hashlib.sha256(case.body).hexdigest()}
        return
    if operation in ENDS_THE_JOB:
        # schemathesis also sends what it has seen in answers.
        case.path_parameters = {name: "nobody" if value in NAMES.values() else value for name, value in given.items()}
        return
    # Not at random: a run with the same seed makes the same requests.
    drawn = zlib.crc32(repr(sorted(given.items())).encode("utf-8", "surrogatepass")) % 3
    if drawn > 0:
        case.path_parameters = {name: NAMES.get(name, value) for name, value in given.items()}
