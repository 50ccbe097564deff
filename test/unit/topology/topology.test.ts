import assert from "node:assert/strict";
import type { OperatorNode } from "../../../src/topology/nodes.js";
import { topology } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pageColumns, pages, serviceOf, sourceOf } from "./support.js";

const length = { length: t.int32 };
const toLength = () => ({ length: 1 });

function ids(operators: readonly OperatorNode[]): string[] {
  return operators.map((node) => node.id);
}

function columnsOf(node: OperatorNode | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(node?.columns ?? {}).map(([name, type]) => [name, type.name]));
}

describe("topology/topology: what a definition records", () => {
  it("operators in the order they were named, each with its inputs", () => {
    const { operators } = built((job) => {
      const stream = job.read(pages);
      stream.mapRows({ to: length }, toLength).to(nowhere);
      stream.filter(() => true).to(nowhere);
    });
    assert.deepEqual(
      operators.map(({ id, kind, inputs }) => [id, kind, ...inputs]),
      [
        ["source-1", "source"],
        ["mapRows-1", "mapRows", "source-1"],
        ["sink-1", "sink", "mapRows-1"],
        ["filter-1", "filter", "source-1"],
        ["sink-2", "sink", "filter-1"],
      ],
    );
  });

  it("ids are stable: given, or kind and place among those of its kind without one", () => {
    const define = () =>
      built((job) => {
        const stream = job.read(pages, { id: "pages" });
        stream.mapRows({ to: length }, toLength).filter(() => true);
        stream.mapRows({ to: length, id: "measure" }, toLength);
        stream.mapRows({ to: length }, toLength);
      });
    assert.deepEqual(ids(define().operators), ["pages", "mapRows-1", "filter-1", "measure", "mapRows-2"]);
    assert.deepEqual(ids(define().operators), ids(define().operators));
  });

  it("the columns that each operator emits", () => {
    const { operators } = built((job) => {
      const measure = serviceOf("measure", { text: t.utf8 }, { score: t.float64 });
      const named = serviceOf("named", { name: t.utf8 }, { language: t.utf8, size: t.float64 });
      const scored = job.read(pages).infer(named).inferEach("lines", measure, { into: "scores" });
      scored.select("scores", "name");
      scored.to(nowhere);
    });
    const lines = "list<struct<text: utf8>>";
    assert.deepEqual(operators.slice(1, -1).map(columnsOf), [
      // An answer's column takes the place of one of the same name.
      { name: "utf8", size: "float64", lines, note: "utf8?", language: "utf8" },
      { name: "utf8", size: "float64", lines, note: "utf8?", language: "utf8", scores: "list<struct<score: float64>>" },
      { scores: "list<struct<score: float64>>", name: "utf8" },
    ]);
  });

  it("a service takes a column without nulls where it allows them", () => {
    const lenient = serviceOf("lenient", { name: t.optional(t.utf8) }, { score: t.float64 });
    const { services } = built((job) => job.read(pages).infer(lenient).to(nowhere));
    assert.deepEqual(services, [lenient]);
  });

  it("a service that two operators call is one", () => {
    const named = serviceOf("named", { name: t.utf8 }, { language: t.utf8 });
    const { services } = built((job) => {
      job.read(pages).infer(named);
      job.read(pages).infer(named);
    });
    assert.deepEqual(services, [named]);
  });

  it("parallelism and isolate change the operator before, and it stays one", () => {
    const { operators } = built((job) => {
      job.read(pages).parallelism(3).isolate().mapRows({ to: length }, toLength).isolate().parallelism(2);
    });
    assert.deepEqual(
      operators.map(({ id, parallelism, isolated }) => [id, parallelism, isolated]),
      [
        ["source-1", 3, true],
        ["mapRows-1", 2, true],
      ],
    );
  });

  it("keyBy records its columns", () => {
    const { operators } = built((job) => void job.read(pages).keyBy("name", "size"));
    const node = operators[1];
    assert.deepEqual(node?.kind === "keyBy" && node.keys, ["name", "size"]);
  });

  it("union brings columns into one order, by a select where they are in another", () => {
    const { operators } = built((job) => {
      const ab = job.read(sourceOf({ a: t.int32, b: t.utf8 }));
      const ba = job.read(sourceOf({ b: t.utf8, a: t.int32 }));
      job.union(ab, ba).to(nowhere);
    });
    assert.deepEqual(
      operators.map(({ id, inputs, columns }) => [id, inputs, Object.keys(columns)]),
      [
        ["source-1", [], ["a", "b"]],
        ["source-2", [], ["b", "a"]],
        ["select-1", ["source-2"], ["a", "b"]],
        ["union-1", ["source-1", "select-1"], ["a", "b"]],
        ["sink-1", ["union-1"], ["a", "b"]],
      ],
    );
  });

  it("defaults: one instance, dead letters under the topology's name, rows", () => {
    const { parallelism, badRecords, deadLetters, unit } = built(() => {});
    assert.deepEqual(
      { parallelism, badRecords, deadLetters, unit },
      {
        parallelism: 1,
        badRecords: "dead-letter",
        deadLetters: "millrace-output/test/dead-letters",
        unit: "rows",
      },
    );
  });
});

describe("topology/topology: parameters", () => {
  it("a given parameter replaces its default, also by an empty text", () => {
    const seen: string[] = [];
    const definition = topology("test", (job) => void seen.push(job.param("input", "*.txt")));
    for (const params of [{}, { input: "*.md" }, { input: "" }]) definition.build(params);
    assert.deepEqual(seen, ["*.txt", "*.md", ""]);
  });

  it("a parameter's name is not looked up in what every object has", () => {
    topology("test", (job) => assert.equal(job.param("constructor", "none"), "none")).build({});
  });

  it("options can depend on parameters", () => {
    const definition = topology(
      "test",
      () => {},
      (params) => ({ parallelism: Number(params.parallelism ?? 1) }),
    );
    assert.equal(definition.build({ parallelism: "4" }).parallelism, 4);
  });
});

describe("topology/topology: what is refused, with operator and column", () => {
  const refusals: readonly {
    readonly what: string;
    readonly code: string;
    readonly message: string;
    readonly define: Parameters<typeof built>[0];
  }[] = [
    {
      what: "two operators of one id",
      code: "MILL_TOPOLOGY_DUPLICATE_ID",
      message: 'two operators have the id "pages". Give each its own { id }, so that state finds its operator.',
      define: (job) => {
        job.read(pages, { id: "pages" });
        job.read(pages, { id: "pages" });
      },
    },
    {
      what: "a given id that is another's default",
      code: "MILL_TOPOLOGY_DUPLICATE_ID",
      message: 'two operators have the id "source-1". Give each its own { id }, so that state finds its operator.',
      define: (job) => {
        job.read(pages, { id: "source-1" });
        job.read(pages);
      },
    },
    {
      what: "two services of one name",
      code: "MILL_TOPOLOGY_DUPLICATE_ID",
      message: 'operator "infer-2": another service is called "named" too. Give each service its own name.',
      define: (job) => {
        job.read(pages).infer(serviceOf("named", { name: t.utf8 }, { a: t.utf8 }));
        job.read(pages).infer(serviceOf("named", { name: t.utf8 }, { b: t.utf8 }));
      },
    },
    {
      what: "an id that is no name",
      code: "MILL_CONFIG",
      message:
        'operator "my pages" is not a valid name. Use 1 to 128 letters, digits, "-" or "_", starting and ending with a letter or digit.',
      define: (job) => void job.read(pages, { id: "my pages" }),
    },
    {
      what: "a select of nothing",
      code: "MILL_TOPOLOGY_COLUMN",
      message: 'operator "select-1": name at least one column.',
      define: (job) => void job.read(pages).select(),
    },
    {
      what: "a keyBy of nothing",
      code: "MILL_TOPOLOGY_COLUMN",
      message: 'operator "keyBy-1": name at least one column.',
      define: (job) => void job.read(pages).keyBy(),
    },
    {
      what: "no instance",
      code: "MILL_CONFIG",
      message: 'parallelism of operator "source-1" is 0; give a whole number from 1 on.',
      define: (job) => void job.read(pages).parallelism(0),
    },
    {
      what: "half a call at once",
      code: "MILL_CONFIG",
      message: 'concurrency of operator "mapRows-1" is 0.5; give a whole number from 1 on.',
      define: (job) => void job.read(pages).mapRows({ to: length, concurrency: 0.5 }, toLength),
    },
    {
      what: "one stream twice in a union",
      code: "MILL_CONFIG",
      message:
        'operator "union-1": stream "source-1" was given twice. Give each stream once; to double rows, use flatMap.',
      define: (job) => {
        const stream = job.read(pages);
        job.union(stream, stream);
      },
    },
  ];
  for (const { what, code, message, define } of refusals) {
    it(`${what} is ${code}`, () => assert.throws(() => built(define), { code, message }));
  }

  it("a union with a stream of another topology is MILL_TOPOLOGY_UNCONNECTED", () => {
    built((other) => {
      const foreign = other.read(pages, { id: "elsewhere" });
      assert.throws(() => built((job) => void job.union(job.read(pages), foreign)), {
        code: "MILL_TOPOLOGY_UNCONNECTED",
        message: 'operator "union-1": stream "elsewhere" belongs to another topology. Read it in this one.',
      });
    });
  });

  it("a sink that refuses a column says so with its operator, code and cause", () => {
    const picky = {
      ...nowhere,
      check() {
        throw new Error('column "lines" cannot be held');
      },
    };
    assert.throws(
      () => built((job) => job.read(pages).to(picky, { id: "out" })),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "MILL_TOPOLOGY_TYPE");
        assert.equal(error.message, 'operator "out": column "lines" cannot be held');
        assert.ok(error.cause instanceof Error);
        return true;
      },
    );
  });

  it("an async definition is MILL_TOPOLOGY_LOAD: operators after its await would be missing", () => {
    const definition = topology("late", async (job) => void job.read(pages));
    assert.throws(() => definition.build({}), {
      code: "MILL_TOPOLOGY_LOAD",
      message: /topology "late" is defined by an async function/,
    });
  });

  it("a topology's name is checked where it is declared", () => {
    assert.throws(() => topology("no spaces", () => {}), { code: "MILL_CONFIG", message: /topology "no spaces"/ });
  });

  it("a topology's parallelism is checked", () => {
    assert.throws(() => topology("test", () => {}, { parallelism: 1.5 }).build({}), {
      code: "MILL_CONFIG",
      message: 'parallelism of topology "test" is 1.5; give a whole number from 1 on.',
    });
  });

  it("columns stay what they were for the operators after a refused one", () => {
    built((job) => {
      const stream = job.read(pages);
      // @ts-expect-error no such column
      assert.throws(() => stream.select("nope"));
      assert.equal(stream.columns, pageColumns);
    });
  });
});
