import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import { keepSecret, withoutSecrets } from "../../../src/base/secrets.js";

describe("base/secrets: texts without secrets", () => {
  it("no secret that was kept is in a text, as it is, in JSON or in an address; the rest stays (X1)", () => {
    keepSecret('unit-p"ss/word=1');
    keepSecret("unit-secret");
    keepSecret("unit-secret-that-goes-on");
    const text = `a unit-p"ss/word=1 b ${JSON.stringify({ c: 'unit-p"ss/word=1' })} ${encodeURIComponent('unit-p"ss/word=1')}`;
    assert.equal(withoutSecrets(text), 'a *** b {"c":"***"} ***');
    assert.equal(withoutSecrets("unit-secret-that-goes-on, unit-secret"), "***, ***");
  });

  it("what is too short to be told from a word stays", () => {
    keepSecret("words");
    keepSecret(undefined);
    assert.equal(withoutSecrets("some words"), "some words");
  });

  it("an address loses user and password, and what signs it, and nothing else (X2)", () => {
    for (const [text, clean] of [
      ["nats://user:password@host:4222, tls://token@b", "nats://***@host:4222, tls://***@b"],
      ['see "https://h/a?X-Amz-Signature=1f&part=2"', 'see "https://h/a?X-Amz-Signature=***&part=2"'],
      ["https://h/a?b=1&sig=x%2F, next", "https://h/a?b=1&sig=*** next"],
      ["s3://bucket/a@b, http://h:80/x?after=1#at@b", "s3://bucket/a@b, http://h:80/x?after=1#at@b"],
      ["somebody@example.org at http://h/", "somebody@example.org at http://h/"],
    ] as const)
      assert.equal(withoutSecrets(text), clean);
  });

  it("a text that is long and strange takes no time to speak of", () => {
    const text = `${"a.".repeat(1_000_000)}://${"?sig".repeat(1_000_000)}`;
    const fromMs = performance.now();
    assert.equal(withoutSecrets(text), text);
    assert.ok(performance.now() - fromMs < 2_000);
  });

  it("an error's message and stack have none, whoever wrote it; its cause is kept", () => {
    keepSecret("unit-of-an-error");
    const cause = new Error("no entry with unit-of-an-error");
    const error = MillraceError.from(cause, "MILL_SERVICE_FAILED", "service");
    assert.equal(error.message, "service: no entry with ***");
    assert.doesNotMatch(error.stack ?? "", /unit-of-an-error/);
    assert.equal(error.cause, cause);
  });
});
