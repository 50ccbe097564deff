import assert from "node:assert/strict";
import { withoutSecrets } from "../../../src/base/secrets.js";
import { keepSecretsOf } from "../../../src/cli/environment-secrets.js";

describe("cli/environment-secrets: what of the environment is a secret", () => {
  it("what its name calls a secret, logins in addresses, headers of telemetry; no paths", () => {
    keepSecretsOf({
      UNIT_API_KEY: "unit-env-key",
      unit_password: "unit-env-password",
      AUTHOR: "unit-env-author",
      UNIT_KEY_FILE: "/unit/env/file",
      MILLRACE_NATS_KEY: "unit-env.pem",
      UNIT_TOKENS: "unit-env-tokens",
      SOME_URL: "nats://me:unit-env-in%20url@host:4222",
      OTEL_EXPORTER_OTLP_HEADERS: "a=unit-env-header,b=unit%20env%20header",
    });
    const hidden = ["unit-env-key", "unit-env-password", "unit-env-in url", "unit-env-header", "unit env header"];
    for (const one of hidden) assert.equal(withoutSecrets(one), "***");
    for (const one of ["unit-env-author", "/unit/env/file", "unit-env.pem", "unit-env-tokens"])
      assert.equal(withoutSecrets(one), one);
  });
});
