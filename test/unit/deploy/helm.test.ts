/** The Helm chart: what can be checked without Helm. */
import assert from "node:assert/strict";
import { Ajv } from "ajv";
import { documentedSettings, filesBelow, settingsIn, textOf, yamlOf } from "./deploy-files.js";

const CHART = "deploy/helm/millrace";
type Values = Record<string, Record<string, unknown>>;

const schema = JSON.parse(textOf(`${CHART}/values.schema.json`)) as object;
const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
const standard = yamlOf<Values>(`${CHART}/values.yaml`);
const templates = filesBelow(`${CHART}/templates`, "").filter((path) => /\.(yaml|tpl|txt)$/.test(path));

/** The standard values with others in their place. */
function changed(changes: Values): Values {
  const values = structuredClone(standard);
  for (const [part, change] of Object.entries(changes)) values[part] = { ...values[part], ...change };
  return values;
}

describe("deploy/helm: values", () => {
  it("the standard ones fit their schema", () => {
    assert.ok(validate(standard), JSON.stringify(validate.errors));
  });

  for (const [what, changes] of [
    ["a way to sign in that there is none of", { nats: { auth: "password" } }],
    ["a password in an address", { nats: { url: "nats://me:secret@nats:4222" } }],
    ["a store that is not S3", { store: { url: "file:///data" } }],
    ["no coordinator", { coordinator: { replicas: 0 } }],
    ["memory that the command line would not take", { workerDefaults: { offer: { cpus: 1, memory: "4Gi" } } }],
    ["a value that is misspelled", { coordinator: { replica: 2 } }],
    ["a variable that is not OpenTelemetry's", { telemetry: { env: { MILLRACE_NATS_PASSWORD: "x" } } }],
  ] as const) {
    it(`${what} does not fit`, () => {
      assert.equal(validate(changed(changes as Values)), false);
    });
  }

  it("a pool of workers with gpus fits, and one that changes nothing", () => {
    const gpus = {
      replicas: 2,
      gpus: { count: 1, kind: "h200", memory: "141GiB" },
      image: { repository: "r", tag: "1" },
    };
    assert.ok(validate(changed({ workers: { gpu: gpus, plain: {} } })), JSON.stringify(validate.errors));
  });
});

describe("deploy/helm: templates", () => {
  const all = templates.map(textOf).join("\n");

  it("use every value that there is", () => {
    const unused = Object.keys(standard).filter((name) => !new RegExp(`\\.Values\\.${name}\\b`).test(all));
    assert.deepEqual(unused, []);
    for (const [part, prefix] of [
      ["coordinator", "\\$c"],
      ["workerDefaults", "\\$w"],
    ] as const) {
      const missing = Object.keys(standard[part]!).filter((name) => !new RegExp(`${prefix}\\.${name}\\b`).test(all));
      assert.deepEqual(missing, [], part);
    }
  });

  it("set no variable that the documentation does not know", () => {
    const known = documentedSettings();
    for (const name of settingsIn(all)) assert.ok(known.has(name), `${name} is documented nowhere`);
  });

  it("put no secret into an object of their own: they name Secrets that are there", () => {
    assert.doesNotMatch(all, /^kind: Secret$/m);
  });

  for (const file of ["coordinator.yaml", "workers.yaml"]) {
    it(`${file}: not root, a root file system that cannot be written, resources, a disruption budget, time to end`, () => {
      const text = textOf(`${CHART}/templates/${file}`);
      for (const part of [
        "millrace.podSecurity",
        "millrace.containerSecurity",
        "resources:",
        "kind: PodDisruptionBudget",
      ])
        assert.ok(text.includes(part), part);
      assert.match(text, /terminationGracePeriodSeconds: \{\{/);
    });
  }

  it("coordinators are looked at by /healthz and /readyz", () => {
    const text = textOf(`${CHART}/templates/coordinator.yaml`);
    assert.match(text, /livenessProbe:\s+httpGet: \{ path: \/healthz/);
    assert.match(text, /readinessProbe:\s+httpGet: \{ path: \/readyz/);
  });
});
