/** Two stores over one place of a bucket: one through a proxy with faults, one straight to the server. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { ListMultipartUploadsCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { MillraceError } from "../../../src/base/errors.js";
import type { Clock, Ports, Random, Timer } from "../../../src/base/ports.js";
import { realClock, realRandom } from "../../../src/base/real/ports.js";
import { unlessAborted } from "../../../src/storage/object-calls.js";
import { type S3Options, S3Store } from "../../../src/storage/s3-store.js";
import { recordingPorts } from "../../conformance/bus-support.js";
import type { MinioServer } from "../../servers/index.js";

export class S3Bench {
  readonly place = `place-${randomUUID()}`;
  readonly store: S3Store;
  /** Past the proxy: sees what is really there. */
  readonly direct: S3Store;
  /** Milliseconds of every pause that was asked for. They take no time but `onPause`'s. */
  readonly pauses: number[] = [];
  readonly lines: ReturnType<typeof recordingPorts>["lines"];
  /** What the random port gives: 0 is the longest pause. */
  random = 0;
  onPause: () => unknown = () => {};
  /** Called for every bound that is set, with the means to let it pass. */
  onBound = (_boundMs: number, _pass: () => void) => {};
  #bounds = new Set<Timer>();
  #admin: S3Client;
  #ports: Ports;
  #opened: S3Store[] = [];

  constructor(
    private readonly server: MinioServer,
    private readonly endpoint: string,
    options: S3Options = {},
  ) {
    const { ports, lines } = recordingPorts();
    this.lines = lines;
    const clock: Clock = {
      ...realClock,
      sleep: async (delayMs, signal) => {
        this.pauses.push(delayMs);
        await unlessAborted(Promise.resolve(this.onPause()), signal);
      },
      after: (delayMs, fn) => {
        this.onBound(delayMs, fn);
        const timer = realClock.after(delayMs, fn);
        this.#bounds.add(timer);
        return {
          cancel: () => {
            this.#bounds.delete(timer);
            timer.cancel();
          },
        };
      },
    };
    const random: Random = { ...realRandom, next: () => this.random };
    this.#ports = { ...ports, clock, random };
    this.store = this.open(options);
    this.direct = new S3Store(server.bucket, this.place, server, ports);
    const { accessKeyId, secretAccessKey, region } = server;
    const credentials = { accessKeyId, secretAccessKey };
    this.#admin = new S3Client({ endpoint: server.endpoint, region, credentials, forcePathStyle: true });
  }

  /** Another store at the same place, through the proxy. */
  open(options: S3Options): S3Store {
    const opened = new S3Store(
      this.server.bucket,
      this.place,
      { ...this.server, endpoint: this.endpoint, ...options },
      this.#ports,
    );
    this.#opened.push(opened);
    return opened;
  }

  /** The error of a call that must fail with one of ours; none of them, nor the log, may tell a secret. */
  async failure(call: Promise<unknown>): Promise<MillraceError> {
    const error = await call.then(
      () => assert.fail("expected a failure"),
      (reason: unknown) => reason,
    );
    assert.ok(MillraceError.is(error), inspect(error));
    this.tellsNoSecret(error.message, inspect(error, { depth: 20 }), inspect(this.lines, { depth: 20 }));
    return error;
  }

  tellsNoSecret(...texts: readonly string[]): void {
    for (const each of texts) {
      for (const secret of [this.server.secretAccessKey, "Signature="]) assert.ok(!each.includes(secret), each);
    }
  }

  async keys(): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of this.store.list("")) found.push(key);
    return found;
  }

  warnings(): string[] {
    return this.lines.filter(({ level }) => level !== "debug").map(({ message }) => message);
  }

  /** An object that another program wrote, with a checksum that we do not compute ourselves. */
  async putWithSha256(key: string, Body: Uint8Array): Promise<void> {
    const request = { Bucket: this.server.bucket, Key: `${this.place}/${key}`, Body };
    await this.#admin.send(new PutObjectCommand({ ...request, ChecksumAlgorithm: "SHA256" }));
  }

  /** Uploads in parts that the server knows of and that are not finished. MinIO lists them by the whole key only. */
  async openUploads(key: string): Promise<number> {
    const request = { Bucket: this.server.bucket, Prefix: `${this.place}/${key}` };
    return (await this.#admin.send(new ListMultipartUploadsCommand(request))).Uploads?.length ?? 0;
  }

  async close(): Promise<void> {
    assert.equal(this.#bounds.size, 0, "a bound was left running");
    for (const store of this.#opened) await store.close();
    await this.direct.close();
    this.#admin.destroy();
  }
}
