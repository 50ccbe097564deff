/** What an instance hands to a handler, for tests that call one without an instance. */
import assert from "node:assert/strict";
import { MillraceError } from "../../../../src/base/errors.js";
import { realPorts, silentLog } from "../../../../src/base/real/ports.js";
import type { CallContext, HandlerContext } from "../../../../src/topology/service.js";
import { noContent } from "../../actors/support.js";

export function loadContext(given: Partial<HandlerContext> = {}): HandlerContext {
  return {
    service: "tiny",
    instance: "tiny-0",
    input: {},
    output: {},
    asset: (name) => name,
    env: () => undefined,
    content: noContent,
    clock: realPorts().clock,
    signal: new AbortController().signal,
    ...given,
  };
}

/** A call without an end to its time, in which no row may be refused. */
export function callContext(given: Partial<CallContext> = {}): CallContext {
  return {
    content: noContent,
    signal: new AbortController().signal,
    timeLeftMs: Number.POSITIVE_INFINITY,
    rowId: () => "",
    traceparent: "",
    log: silentLog,
    reject: (row, error) => assert.fail(`row ${row} was refused: ${error}`),
    ...given,
  };
}

/** The error of ours that `work` ends with. */
export async function errorOf(work: Promise<unknown>): Promise<MillraceError> {
  try {
    await work;
  } catch (error) {
    assert.ok(MillraceError.is(error), String(error));
    return error;
  }
  return assert.fail("it did not fail");
}
