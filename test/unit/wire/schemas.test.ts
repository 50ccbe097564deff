import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fingerprint } from "../../../src/wire/fingerprint.js";
import { packageRoot } from "./hex-file.js";

const folder = join(packageRoot, "schemas");
const files = ["", "control", "stored"]
  .map((part) => join(folder, part))
  .flatMap((at) =>
    readdirSync(at)
      .filter((name) => name.endsWith(".avsc"))
      .map((name) => ({ kind: name.slice(0, -".avsc".length), text: readFileSync(join(at, name), "utf8") })),
  );

type Node = {
  type?: unknown;
  name?: string;
  doc?: string;
  fields?: Field[];
  items?: unknown;
  values?: unknown;
  symbols?: string[];
};
type Field = { name: string; type: unknown; doc?: string };

/** Every named type of a schema, its record first. */
function namedTypes(schema: unknown): Node[] {
  if (Array.isArray(schema)) return schema.flatMap(namedTypes);
  if (typeof schema !== "object" || schema === null) return [];
  const node = schema as Node;
  const inner = [...(node.fields ?? []).map((field) => field.type), node.items, node.values].flatMap(namedTypes);
  return node.name === undefined ? inner : [node, ...inner];
}

describe("schemas: what a reader in another language relies on", () => {
  for (const { kind, text } of files) {
    it(`${kind}: the record says who writes it and how it may change, and every field what it means`, () => {
      const [record, ...inner] = namedTypes(JSON.parse(text)) as [Node, ...Node[]];
      assert.match(record.doc ?? "", /Evolution: add fields with a default/);
      for (const type of [record, ...inner]) {
        if (type.fields === undefined) continue;
        assert.ok((type.doc ?? "").length > 5, `record ${type.name} has a doc`);
        for (const field of type.fields) {
          assert.ok((field.doc ?? "").length > 5, `field ${type.name}.${field.name} has a doc`);
        }
      }
    });
  }

  it("the record has the name of its file, in millrace.wire.v1", () => {
    for (const { kind, text } of files) {
      const { name, namespace } = JSON.parse(text) as { name: string; namespace: string };
      const kebab = name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
      assert.deepEqual([kebab, namespace], [kind, "millrace.wire.v1"]);
    }
  });

  it("`payload` is last, so that it can be sliced", () => {
    for (const { text } of files) {
      const { fields } = JSON.parse(text) as { fields: Field[] };
      const at = fields.findIndex((field) => field.name === "payload");
      assert.ok(at === -1 || at === fields.length - 1);
    }
  });

  it("a name that several files define means the same in all: they can be loaded together", () => {
    const seen = new Map<string, string>();
    for (const type of files.flatMap(({ text }) => namedTypes(JSON.parse(text)))) {
      const text = JSON.stringify(type);
      assert.equal(text, seen.get(type.name!) ?? text, `definitions of ${type.name}`);
      seen.set(type.name!, text);
    }
  });
});

describe("wire/fingerprint", () => {
  it("is the CRC-64-AVRO of the Parsing Canonical Form, as published in Avro's own test data", () => {
    assert.equal(fingerprint('"null"'), 7195948357588979594n);
    assert.equal(BigInt.asIntN(64, fingerprint('"int"')), 8247732601305521295n);
    assert.equal(BigInt.asIntN(64, fingerprint('{"name":"foo","type":"fixed","size":15}')), 1756455273707447556n);
  });
});

describe("wire: TypeScript types and schemas say the same", () => {
  const source = ["frames.ts", "control.ts", "stored.ts", "exchange-frames.ts"]
    .map((name) => readFileSync(join(packageRoot, "src", "wire", name), "utf8"))
    .join("\n");
  const kinds = [...source.matchAll(/frame<(\w+)>\("([\w-]+)"\)/g)].map((match) => ({
    type: match[1]!,
    kind: match[2]!,
  }));

  it("every schema has a frame in src/wire", () => {
    assert.deepEqual(kinds.map(({ kind }) => kind).sort(), files.map(({ kind }) => kind).sort());
  });

  for (const { kind, type } of kinds) {
    it(`${kind}: ${type} has the schema's fields, in its order and of its types`, () => {
      const schema = JSON.parse(files.find((file) => file.kind === kind)!.text) as Node;
      compare(type, schema);
    });
  }

  /** The members of an interface, those it extends included, in the order of the schema. */
  function members(name: string): Map<string, string> {
    const found = source.match(new RegExp(`interface ${name}(?: extends ([\\w, ]+))? {([^}]*)}`));
    assert.ok(found, `interface ${name}`);
    const own = [...found[2]!.matchAll(/readonly (\w+): ([^;]+);/g)].map((member) => [member[1]!, member[2]!] as const);
    const inherited = (found[1]?.split(/, */) ?? []).flatMap((base) => [...members(base.trim())]);
    return new Map([...own, ...inherited]);
  }

  function compare(name: string, schema: Node): void {
    const type = members(name);
    const fields = schema.fields!.filter((field) => field.name !== "payload" || type.has("payload"));
    assert.deepEqual([...type.keys()].sort(), fields.map((field) => field.name).sort(), name);
    for (const field of fields) compareValue(`${name}.${field.name}`, type.get(field.name)!, field.type);
  }

  function compareValue(where: string, type: string, schema: unknown): void {
    if (typeof schema === "string") {
      // A record that the schema has defined before is named with its namespace.
      assert.equal(PRIMITIVES[schema] ?? schema.replace("millrace.wire.v1.", ""), type, where);
    } else if (Array.isArray(schema)) {
      const rest = schema.filter((branch) => branch !== "null");
      assert.equal(rest.length, 1, `${where} is one type or null`);
      compareValue(where, type.replace(" | null", ""), rest[0]);
    } else {
      compareComplex(where, type, schema as Node);
    }
  }

  function compareComplex(where: string, type: string, node: Node): void {
    switch (node.type) {
      case "array":
        assert.match(type, /^readonly .*\[\]$/, where);
        compareValue(where, type.slice("readonly ".length, -2), node.items);
        break;
      case "map":
        assert.equal(type, `Readonly<Record<string, ${PRIMITIVES[node.values as string]}>>`, where);
        break;
      case "fixed":
        assert.equal(type, "Uint8Array", where);
        break;
      case "enum":
        assert.deepEqual(symbols(type), node.symbols, where);
        break;
      default:
        compare(type, node);
    }
  }

  function symbols(name: string): string[] {
    const union = source.match(new RegExp(`type ${name} =([^;]*);`))?.[1] ?? name;
    return [...union.matchAll(/"(\w+)"/g)].map((match) => match[1]!);
  }
});

const PRIMITIVES: Readonly<Record<string, string>> = {
  string: "string",
  int: "number",
  long: "bigint",
  double: "number",
  boolean: "boolean",
  bytes: "Uint8Array",
};
