import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FoundServer, mayInstall, serversScript } from "../../servers/find.js";
import { skipBecause } from "../../servers/index.js";

// Method: a PATH that holds nothing but small shell scripts in place of nats-server, docker, apt-get, dpkg and go.
describe("scripts/servers: where a server comes from", () => {
  let folder: string;
  let find: (install: boolean, env?: NodeJS.ProcessEnv) => Promise<FoundServer>;

  before(async function () {
    if (process.platform === "win32") skipBecause(this, "the stand-ins are shell scripts");
    const script = await serversScript();
    find = (install, env = {}) =>
      script.findServer("nats", {
        install,
        env: { PATH: join(folder, "path"), MILLRACE_CACHE: join(folder, "cache"), HOME: folder, ...env },
        say: () => {},
      });
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-find-"));
    for (const name of ["path", "elsewhere", join("cache", "bin")]) mkdirSync(join(folder, name), { recursive: true });
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const put = (place: string, name: string, body: string) => {
    const path = join(folder, place, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const genuine = (version: string) => `echo "nats-server: v${version}"`;
  /** `go install` that takes a moment, counts its runs, and leaves a server. */
  const putGo = () => {
    const built = put("elsewhere", "built", genuine("9.9.1"));
    const note = `echo "$2" >>"${folder}/builds"`;
    put("path", "go", `[ "$1" = version ] && exit 0\n/bin/sleep 0.3\n${note}\n/bin/cp "${built}" "$GOBIN/nats-server"`);
  };
  const builds = () => (existsSync(join(folder, "builds")) ? readFileSync(join(folder, "builds"), "utf8") : "");

  it("NATS_SERVER_BIN goes before the PATH", async () => {
    put("path", "nats-server", genuine("1.0.0"));
    const path = put("elsewhere", "nats-server", genuine("2.0.0"));
    const found = await find(false, { NATS_SERVER_BIN: path });
    assert.deepEqual({ ...found, why: "" }, { kind: "binary", server: "nats", path, version: "2.0.0", why: "" });
  });

  it("a NATS_SERVER_BIN that is no nats-server is an answer, not a reason to take another", async () => {
    put("path", "nats-server", genuine("1.0.0"));
    const path = put("elsewhere", "other", "echo something else");
    const found = await find(true, { NATS_SERVER_BIN: path });
    assert.equal(found.kind, "none");
    assert.match(found.kind === "none" ? found.reason : "", /NATS_SERVER_BIN=.*other: does not answer --version/);
  });

  it("the PATH goes before Docker, Docker before the cache folder", async () => {
    put("cache/bin", "nats-server", genuine("3.0.0"));
    assert.equal((await find(false)).kind, "binary");
    put("path", "docker", "exit 0");
    const docker = await find(false);
    assert.equal(docker.kind, "docker");
    assert.match(docker.kind === "docker" ? docker.image : "", /^nats:\d/);
    const path = put("path", "nats-server", genuine("1.0.0"));
    const found = await find(false);
    assert.equal(found.kind === "binary" && found.path, path);
  });

  it("a docker client without an engine is passed over", async () => {
    put("path", "docker", "exit 1");
    const path = put("cache/bin", "nats-server", genuine("3.0.0"));
    const found = await find(false);
    assert.equal(found.kind === "binary" && found.path, path);
  });

  it("installs nothing unless asked, and says what would", async () => {
    putGo();
    const found = await find(false);
    assert.equal(found.kind, "none");
    assert.equal(found.kind === "none" && found.command, "node scripts/servers.mjs");
    assert.equal(builds(), "");
  });

  it("Debian's package goes before go install, and is unpacked, not installed", async () => {
    putGo();
    put("path", "apt-get", `[ "$1" = download ] && echo x >nats-server_1_any.deb`);
    const packed = put("elsewhere", "packed", genuine("2.9.10"));
    const unpack = `/bin/mkdir -p "$3/usr/sbin" && /bin/cp "${packed}" "$3/usr/sbin/nats-server"`;
    put("path", "dpkg", `[ "$1" = -x ] && ${unpack}`);
    const found = await find(true);
    assert.equal(found.kind === "binary" && found.path, join(folder, "cache", "bin", "nats-server"));
    assert.equal(found.kind === "binary" && found.version, "2.9.10");
    assert.equal(builds(), "");
    assert.deepEqual(readdirSync(join(folder, "cache", "bin")), ["nats-server"]);
  });

  it("goes on to go install where Debian's package cannot be had, and names every way when none works", async () => {
    put("path", "apt-get", "echo no such package; exit 100");
    const none = await find(true);
    assert.match(none.kind === "none" ? none.reason : "", /Debian's package: .*no such package; go install .*: no Go/);
    putGo();
    const found = await find(true);
    assert.equal(found.kind === "binary" && found.version, "9.9.1");
  });

  it("two at the same time build once", async () => {
    putGo();
    const [one, two] = await Promise.all([find(true), find(true)]);
    assert.equal(one.kind, "binary");
    assert.equal(two.kind, "binary");
    assert.equal(builds(), "github.com/nats-io/nats-server/v2@latest\n");
  });

  it("a lock whose owner is dead does not stop an install", async () => {
    putGo();
    writeFileSync(join(folder, "cache", "bin", "nats-server.lock"), "999999999");
    assert.equal((await find(true)).kind, "binary");
    assert.deepEqual(readdirSync(join(folder, "cache", "bin")), ["nats-server"]);
  });
});

describe("servers/find: what npm test may do", () => {
  it("installs with CI=true or MILLRACE_TEST_SERVERS=install, and not otherwise", () => {
    assert.equal(mayInstall({}), false);
    assert.equal(mayInstall({ CI: "" }), false);
    assert.equal(mayInstall({ CI: "true" }), true);
    assert.equal(mayInstall({ MILLRACE_TEST_SERVERS: "install" }), true);
  });
});
