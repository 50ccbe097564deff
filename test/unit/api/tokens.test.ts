import assert from "node:assert/strict";
import { newToken, parseTokens, TokenAccess } from "../../../src/api/tokens.js";
import { limits } from "../../../src/base/limits.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const ask = (access: TokenAccess, token?: string, address = "10.1.2.3") =>
  access.identify({ authorization: token === undefined ? undefined : `Bearer ${token}`, address });

describe("api/tokens: access tokens", () => {
  it("a token lets in who it was made for; what is kept of it lets in nobody", () => {
    const { token, entry } = newToken("ci", "submitter");
    const access = new TokenAccess([entry], fakePorts().clock);
    assert.deepEqual(ask(access, token), { name: "ci", role: "submitter" });
    assert.ok(!JSON.stringify(entry).includes(token.split("_")[2]!));
    for (const wrong of [
      entry.sha256,
      `mrt_${entry.id}_${entry.sha256}`,
      `${token}x`,
      token.slice(0, -1),
      token.replace(/.$/, "!"),
      "",
    ])
      assert.throws(() => ask(access, wrong), { code: "MILL_REQUEST_UNAUTHENTICATED" }, wrong);
  });

  it("one that is taken out of the list, or has expired, is refused at the next request (N1)", async () => {
    const { clock } = fakePorts();
    const [old, fresh] = [newToken("a", "viewer"), newToken("b", "viewer", clock.nowMs() + 1_000)];
    const access = new TokenAccess([old.entry, fresh.entry], clock);
    assert.equal(ask(access, old.token).name, "a");
    assert.equal(ask(access, fresh.token).name, "b");
    access.replace([fresh.entry]);
    assert.throws(() => ask(access, old.token), { code: "MILL_REQUEST_UNAUTHENTICATED" });
    await clock.advance(1_000);
    assert.throws(() => ask(access, fresh.token), { code: "MILL_REQUEST_UNAUTHENTICATED" });
  });

  it("every refusal says the same (N2)", () => {
    const { token, entry } = newToken("a", "viewer");
    const access = new TokenAccess([entry], fakePorts().clock);
    const said = [newToken("x", "viewer").token, `mrt_${entry.id}_${"A".repeat(43)}`, "nonsense"].map((wrong) => {
      try {
        return ask(access, wrong).name;
      } catch (error) {
        return (error as Error).message;
      }
    });
    assert.equal(new Set(said).size, 1);
    assert.ok(!said[0]!.includes(token));
  });

  it("an address that fails too often is told to wait; a good token from there passes, and so do others (N3)", async () => {
    const { clock } = fakePorts();
    const { token, entry } = newToken("a", "viewer");
    const access = new TokenAccess([entry], clock);
    for (let i = 0; i < limits.apiFailuresMax; i++)
      assert.throws(() => ask(access, "wrong", "10.0.0.9"), { code: "MILL_REQUEST_UNAUTHENTICATED" });
    for (const wrong of ["wrong", newToken("b", "admin").token, undefined])
      assert.throws(() => ask(access, wrong, "10.0.0.9"), { code: "MILL_REQUEST_TOO_MANY" });
    assert.equal(ask(access, token, "10.0.0.9").name, "a");
    assert.throws(
      () => ask(access, "wrong", "10.0.0.9"),
      { code: "MILL_REQUEST_TOO_MANY" },
      "a good one clears nothing",
    );
    assert.throws(() => ask(access, "wrong", "10.0.0.8"), { code: "MILL_REQUEST_UNAUTHENTICATED" });
    await clock.advance(limits.apiFailuresMs);
    assert.throws(() => ask(access, "wrong", "10.0.0.9"), { code: "MILL_REQUEST_UNAUTHENTICATED" });
  });

  it("a file that is wrong is refused with its place, and never shown", () => {
    const { entry } = newToken("a", "viewer");
    assert.deepEqual(parseTokens(JSON.stringify({ tokens: [entry] }), "t.json"), [entry]);
    for (const [text, what] of [
      ["{", /is no JSON/],
      ["[]", /wrong at its top/],
      [JSON.stringify({ tokens: [{ ...entry, role: "god" }] }), /\/tokens\/0\/role/],
      [JSON.stringify({ tokens: [{ ...entry, sha256: "secret" }] }), /\/tokens\/0\/sha256/],
      [JSON.stringify({ tokens: [entry, entry] }), /two tokens of one id/],
    ] as const) {
      assert.throws(() => parseTokens(text, "t.json"), { code: "MILL_CONFIG", message: what });
    }
  });
});
