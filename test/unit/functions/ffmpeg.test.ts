/** What a program that is out of order can do, shown with programs that do nothing else. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type FfmpegRun, ffmpeg } from "../../../src/functions/ffmpeg.js";
import { MediaFolder } from "./programs.js";

/** Programs that run with this in their arguments. */
function running(argument: string): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "latin1").split("\0").includes(argument);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}

describe("functions/ffmpeg: a program that is out of order", function () {
  this.timeout(30_000);
  let folder: MediaFolder;

  before(() => {
    folder = new MediaFolder();
  });
  after(() => folder.remove());

  async function run(script: string, options: Partial<FfmpegRun> = {}): Promise<Buffer> {
    const program = join(folder.path, "program");
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o755);
    const file = await open(program);
    try {
      const how = { args: [], outputBytesMax: 1_000_000, timeoutMs: 20_000, signal: new AbortController().signal };
      return await ffmpeg(program, { file: file.fd, ...how, ...options });
    } finally {
      await file.close();
    }
  }

  const tooLarge = (message: RegExp) => ({ code: "MILL_MEDIA_TOO_LARGE", message });

  it("reads the file that it was handed, and what it writes is the answer (M1)", async () => {
    assert.match((await run("cat /dev/fd/3")).toString(), /^#!\/bin\/sh\ncat/);
  });

  it("is killed when it takes too long, and has ended then (M2, M3)", async () => {
    await assert.rejects(run("exec sleep 61.25", { timeoutMs: 300 }), tooLarge(/longer than 300 ms/));
    assert.deepEqual(running("61.25"), []);
  });

  it("is killed when it writes too much, and no more than the bound is kept (M2)", async () => {
    await assert.rejects(run("exec yes"), tooLarge(/more than 1000000 bytes/));
  });

  it("may complain as much as it likes: little of it is kept (M2)", async () => {
    const before = process.memoryUsage().rss;
    await assert.rejects(run("exec yes no >&2", { timeoutMs: 1_000 }), tooLarge(/was stopped/));
    assert.ok(process.memoryUsage().rss - before < 64e6, "its complaints were kept");
  });

  it("gets no more memory than it may have (M2)", async () => {
    await assert.rejects(run("exec dd if=/dev/zero of=/dev/null bs=3G count=1"), {
      code: /^MILL_MEDIA_(INVALID|TOO_LARGE)$/,
      message: /memory/,
    });
  });

  it("writes no file (M2)", async () => {
    const path = join(folder.path, "written");
    await run(`(echo more > ${path}) 2>/dev/null; true`);
    assert.ok(!existsSync(path) || statSync(path).size === 0);
  });

  it("is killed when the job stops, and has ended when the call has (M3)", async () => {
    const stop = new AbortController();
    const call = run("exec sleep 62.25", { signal: stop.signal });
    while (running("62.25").length === 0) await new Promise(setImmediate);
    stop.abort(new Error("enough"));
    await assert.rejects(call, /enough/);
    assert.deepEqual(running("62.25"), []);
  });

  it("that crashes has a file that is to blame, not a limit", async () => {
    await assert.rejects(run("kill -SEGV $$"), { code: "MILL_MEDIA_INVALID", message: /it crashed \(SIGSEGV\)/ });
  });

  it("the reason is what it said first and last, on one line, without addresses and the name that we gave the file", async () => {
    const script =
      "echo '[mp3 @ 0x55d0c8] Header missing' >&2; echo more >&2; echo 'file:/dev/fd/3: Invalid data' >&2; exit 1";
    await assert.rejects(run(script), {
      code: "MILL_MEDIA_INVALID",
      message: /: mp3: Header missing; input: Invalid data\. /,
    });
  });
});
