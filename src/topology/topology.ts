/**
 * The language in which users write a topology. It only records what was said: `src/plan` decides how it runs.
 *
 * TypeScript knows the columns of every stream, so a wrong name or type does not compile. What reaches this file
 * without a compiler (plain JavaScript, a cast) meets the same rules here and fails with an error that names
 * operator and column.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { id, type OperatorId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { ArrowColumns, Columns, ColumnType, ListType, Row, StructType } from "../types/columns.js";
import { t } from "../types/columns.js";
import type { GivenRow } from "../types/content-types.js";
import type { TensorSpec } from "../types/tensor-types.js";
import {
  atLeastOne,
  checkFunction,
  checkInitial,
  checkTypes,
  inlineLimit,
  interval,
  positive,
  requireColumn,
  requireColumns,
} from "./checks.js";
import type { ColumnFunction } from "./column-function.js";
import type { Sink, Source } from "./endpoints.js";
import { narrowCalls } from "./narrow-calls.js";
import type { BadRecordPolicy, KeyState, OperatorKind, OperatorNode, RowFunction, Topology } from "./nodes.js";
import type { OperatorContext } from "./operator-context.js";
import { needsOf, type Resources } from "./resources.js";
import type { Service } from "./service.js";

type Awaitable<T> = T | Promise<T>;
/** `C` with the columns of `O` added or replaced. */
export type Merged<C extends Columns, O extends Columns> = {
  [K in keyof C | keyof O]: K extends keyof O ? O[K] : K extends keyof C ? C[K] : never;
};
/** Accepts anything when `C` has every column of `I` with its type; else asks for a property that says what is wrong. */
type Needs<C extends Columns, I extends Columns> = C extends I
  ? unknown
  : {
      readonly "this stream lacks a column, or has it with another type": {
        [K in keyof I as K extends keyof C ? (C[K] extends I[K] ? never : K) : K]: I[K];
      };
    };
type StructColumns<T> = T extends { readonly item: { readonly columns: infer I extends Columns } } ? I : never;
/** Names of the columns that are lists of structs. */
type StructLists<C extends Columns> = {
  [K in keyof C & string]: C[K] extends { readonly item: { readonly columns: Columns } } ? K : never;
}[keyof C & string];
/** Names of the columns whose values can be a key. */
type KeyNames<C extends Columns> = {
  [K in keyof C & string]: C[K] extends
    | { readonly item: ColumnType }
    | { readonly columns: Columns }
    | { readonly tensor: TensorSpec }
    ? never
    : K;
}[keyof C & string];
/** Accepts anything when no column of `O` is a key; else asks for a property that says which is. */
type NoKeys<O extends Columns, K extends string> = keyof O & K extends never
  ? unknown
  : { readonly "a key column is added by itself and must not be in `to`": keyof O & K };

/** Options that every operator has. */
export interface OperatorOptions {
  /** Stable id: a checkpoint's state finds its operator by it. Default: kind and place, `map-2`. */
  readonly id?: string;
}
/** Options of operators whose function gets a row. */
export interface RowsOptions extends OperatorOptions {
  /** Calls under way at once; results keep their order. Default 1. */
  readonly concurrency?: number;
}

/** Options of `infer` and `inferEach`. */
export interface InferOptions extends OperatorOptions {
  /**
   * Whether batches leave in the order in which they came. Default: true. Without it one slow request holds nothing else up; rows of a
   * batch keep their order, rows of a key do not.
   */
  readonly ordered?: boolean;
}

/** Options of `durable()`. See docs/topology.md. */
export interface DurableOptions extends OperatorOptions {
  /** Parts that the rows are shared out over, each with one reader. Default: the parallelism that the reader has anyway. */
  readonly partitions?: number;
  /** Bytes that wait in one partition before its writers have to. Default `limits.exchangeLogBytesMax`. */
  readonly bytesMax?: number;
}
/** @typeParam O columns of the accumulator */
export interface ReduceOptions<O extends Columns> extends OperatorOptions {
  readonly to: O;
  /** `"end"`, the default: one row for each key, when the input has ended. `"changes"`: one for every row that came. */
  readonly emit?: "end" | "changes";
}

/** Options of a topology. docs/topology.md has them in one table. */
export interface TopologyOptions {
  /** Parallel instances of each operator that states none. Default 1. */
  readonly parallelism?: number;
  /** Default `dead-letter`: the job goes on without the record, and says so. */
  readonly badRecords?: BadRecordPolicy;
  /** Folder or prefix for dead letters. Default `millrace-output/<topology>/dead-letters`. */
  readonly deadLetters?: string;
  /** What one row of the sources is called on a progress bar. Default `rows`. */
  readonly unit?: string;
  /**
   * Milliseconds between two checkpoints of a region. Sinks publish with each; after a failure, work since the last one
   * is done again. 0: one checkpoint, at the end. Default `limits.checkpointIntervalMs`.
   */
  readonly checkpointIntervalMs?: number;
  /**
   * Bytes of one value of a content column (image, audio, video, document) above which they are kept in the store, and a reference takes
   * their place, when rows leave their process or reach a sink. Default `limits.inlineLimitBytes`.
   */
  readonly inlineLimitBytes?: number;
}

/** Values given on the command line by `--param name=value`. */
export type Params = Readonly<Record<string, string>>;

/** A topology as a file exports it: built anew, with the same result, by everyone who loads it with the same parameters. */
export interface TopologyDefinition {
  readonly name: string;
  build(params: Params): Topology;
}

/** Records a topology. Give it as the file's default export. */
export function topology(
  name: string,
  define: (builder: TopologyBuilder) => void,
  options: TopologyOptions | ((params: Params) => TopologyOptions) = {},
): TopologyDefinition {
  id("topology", name);
  return {
    name,
    build(params) {
      const chosen = typeof options === "function" ? options(params) : options;
      const builder = new TopologyBuilder(params);
      const result: unknown = define(builder);
      if (result instanceof Promise) {
        result.catch(() => {}); // said below, once
        throw new MillraceError(
          "MILL_TOPOLOGY_LOAD",
          `topology "${name}" is defined by an async function, so operators would be missing. Define it without await, and do the work in operators.`,
          { topology: name },
        );
      }
      return {
        name,
        operators: narrowCalls(builder.nodes()),
        services: builder.services(),
        parallelism: positive(`parallelism of topology "${name}"`, chosen.parallelism ?? 1),
        badRecords: chosen.badRecords ?? "dead-letter",
        deadLetters: chosen.deadLetters ?? `millrace-output/${name}/dead-letters`,
        unit: chosen.unit ?? "rows",
        checkpointIntervalMs: interval(name, chosen.checkpointIntervalMs ?? limits.checkpointIntervalMs),
        inlineLimitBytes: inlineLimit(name, chosen.inlineLimitBytes ?? limits.inlineLimitBytes),
      };
    },
  };
}

/** What the function of a topology is given: parameters, sources, `union`. */
export class TopologyBuilder {
  #nodes = new Map<OperatorId, OperatorNode>();
  #counts = new Map<string, number>();

  /** @internal */
  constructor(readonly params: Params) {}

  /** A parameter of the job, or `fallback` where it was not given. */
  param(name: string, fallback: string): string {
    return Object.hasOwn(this.params, name) ? this.params[name]! : fallback;
  }

  /** The rows of a source. */
  read<C extends Columns>(source: Source<C>, options: OperatorOptions = {}): Stream<C> {
    return this.add("source", options, { columns: source.columns, inputs: [], source: source as unknown as Source });
  }

  /** The rows of all streams, which have the same columns; in no order between streams. */
  union<C extends Columns>(first: Stream<C>, ...others: Stream<NoInfer<C>>[]): Stream<C> {
    const operator = this.nameFor("union", {});
    const foreign = [first, ...others].find((stream) => stream.builder !== this);
    if (foreign !== undefined) {
      throw new MillraceError(
        "MILL_TOPOLOGY_UNCONNECTED",
        `operator "${operator}": stream "${foreign.node.id}" belongs to another topology. Read it in this one.`,
        { operator, stream: foreign.node.id },
      );
    }
    const order = Object.keys(first.columns);
    const inputs = [first.node.id];
    for (const other of others) {
      requireColumns(operator, first.columns, other.columns);
      requireColumns(operator, other.columns, first.columns);
      // Batches travel by position, so all have to come in one order.
      const ordered = Object.keys(other.columns).every((name, i) => name === order[i]) ? other : other.select(...order);
      inputs.push(ordered.node.id);
    }
    const twice = inputs.find((input, i) => inputs.indexOf(input) !== i);
    if (twice !== undefined) {
      throw new MillraceError(
        "MILL_CONFIG",
        `operator "${operator}": stream "${twice}" was given twice. Give each stream once; to double rows, use flatMap.`,
        { operator, stream: twice },
      );
    }
    return this.add("union", { id: operator }, { columns: first.columns, inputs });
  }

  /** @internal Adds a node; `extra` has what the kind needs. */
  add<C extends Columns>(kind: OperatorKind, options: OperatorOptions, extra: Record<string, unknown>): Stream<C> {
    const operator = this.nameFor(kind, options);
    if (this.#nodes.has(operator)) {
      throw new MillraceError(
        "MILL_TOPOLOGY_DUPLICATE_ID",
        `two operators have the id "${operator}". Give each its own { id }, so that state finds its operator.`,
        { operator },
      );
    }
    checkTypes(operator, extra.columns);
    const node = { id: operator, kind, parallelism: undefined, isolated: false, ...extra } as unknown as OperatorNode;
    this.#nodes.set(operator, node);
    return new Stream<C>(this, node);
  }

  /** @internal Puts a changed copy in the node's place; earlier changes of it stay. */
  replace<C extends Columns>(operator: OperatorId, change: Partial<OperatorNode>): Stream<C> {
    const changed = { ...this.#nodes.get(operator)!, ...change } as OperatorNode;
    this.#nodes.set(operator, changed);
    return new Stream<C>(this, changed);
  }

  /** @internal */
  nameFor(kind: string, options: OperatorOptions): OperatorId {
    if (options.id !== undefined) return id<OperatorId>("operator", options.id);
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    return id<OperatorId>("operator", `${kind}-${count}`);
  }

  /** @internal */
  nodes(): OperatorNode[] {
    return [...this.#nodes.values()];
  }

  /** @internal */
  services(): Service[] {
    const found = new Map<string, Service>();
    for (const node of this.#nodes.values()) {
      if (node.kind !== "infer") continue;
      for (let service: Service | undefined = node.service; service !== undefined; service = service.fallback) {
        const known = found.get(service.id);
        if (known !== undefined && known !== service) {
          throw new MillraceError(
            "MILL_TOPOLOGY_DUPLICATE_ID",
            `operator "${node.id}": another service is called "${service.id}" too. Give each service its own name.`,
            { operator: node.id, service: service.id },
          );
        }
        found.set(service.id, service);
      }
    }
    return [...found.values()];
  }
}

/**
 * A stream of batches with the columns `C`. Every method adds an operator and returns its output.
 * `in out`: a stream with more columns is not one with fewer; whoever wants that says `select`.
 */
export class Stream<in out C extends Columns> {
  constructor(
    /** @internal */
    readonly builder: TopologyBuilder,
    /** @internal */
    readonly node: OperatorNode,
  ) {}

  /** The columns of this stream, to build batches with. */
  get columns(): C {
    return this.node.columns as C;
  }

  /** Batch in, batch out; the row count may change. An error fails the job: it is taken for a mistake in `fn`. */
  map<O extends Columns>(
    options: OperatorOptions & { readonly to: O },
    fn: (batch: RecordBatch<ArrowColumns<C>>, context: OperatorContext) => Awaitable<RecordBatch<ArrowColumns<O>>>,
  ): Stream<O> {
    const operator = this.builder.nameFor("map", options);
    checkFunction(operator, fn);
    return this.next("map", { id: operator }, { columns: options.to, fn });
  }

  /** One row in, one row out. A row for which `fn` throws is a bad record. */
  mapRows<O extends Columns>(
    options: RowsOptions & { readonly to: O },
    fn: (row: Row<C>, context: OperatorContext) => Awaitable<Row<O> | GivenRow<O>>,
  ): Stream<O> {
    return this.rows("mapRows", options, options.to, fn as RowFunction);
  }

  /** One row in, any number out. */
  flatMap<O extends Columns>(
    options: RowsOptions & { readonly to: O },
    fn: (row: Row<C>, context: OperatorContext) => Awaitable<Iterable<Row<O> | GivenRow<O>>>,
  ): Stream<O> {
    return this.rows("flatMap", options, options.to, fn as RowFunction);
  }

  /** Keeps the rows for which `fn` says so. */
  filter(fn: (row: Row<C>, context: OperatorContext) => Awaitable<boolean>, options: RowsOptions = {}): Stream<C> {
    return this.rows("filter", options, this.columns, fn as RowFunction);
  }

  /** Adds the columns that `fn` makes, or replaces those of the same name. Rows that it refuses are bad records. */
  apply<O extends Columns>(fn: ColumnFunction<O>, options: OperatorOptions = {}): Stream<Merged<C, O>> {
    const operator = this.builder.nameFor(fn.name, options);
    checkTypes(operator, fn.to);
    fn.check(operator, this.columns);
    return this.next("apply", { id: operator }, { columns: { ...this.node.columns, ...fn.to }, fn });
  }

  /** `step(stream)`, written where it happens: built-in functions, and steps of your own. */
  pipe<R>(step: (stream: Stream<C>) => R): R {
    return step(this);
  }

  /** Keeps these columns, in this order. */
  select<K extends keyof C & string>(...names: K[]): Stream<Pick<C, K>> {
    const operator = this.builder.nameFor("select", {});
    atLeastOne(operator, names);
    const columns = Object.fromEntries(names.map((name) => [name, requireColumn(operator, this.node.columns, name)]));
    return this.next("select", { id: operator }, { columns });
  }

  /**
   * Calls a service with the columns it takes, and adds those it answers with. Order is kept.
   * Requests in flight are bounded in rows and bytes; a full window holds back the operators before this one.
   */
  infer<I extends Columns, O extends Columns>(
    service: Service<I, O> & Needs<C, I>,
    options: InferOptions = {},
  ): Stream<Merged<C, O>> {
    const operator = this.builder.nameFor("infer", options);
    requireColumns(operator, service.input, this.node.columns, "", `service "${service.id}"`);
    const columns = { ...this.node.columns, ...service.output };
    return this.next(
      "infer",
      { id: operator },
      { columns, service, ordered: options.ordered ?? true, each: undefined, into: undefined },
    );
  }

  /**
   * Calls a service with every element of a list column, and adds a list column of the answers, element by element:
   * the crops of a page, the chunks of a document, the frames of a clip.
   */
  inferEach<K extends StructLists<C>, I extends Columns, O extends Columns, Into extends string>(
    each: K,
    service: Service<I, O> & Needs<StructColumns<C[K]>, I>,
    options: InferOptions & { readonly into: Into },
  ): Stream<Merged<C, { readonly [P in Into]: ListType<StructType<O>> }>> {
    const operator = this.builder.nameFor("infer", options);
    const list = requireColumn(operator, this.node.columns, each);
    if (list.item?.columns === undefined) {
      throw new MillraceError(
        "MILL_TOPOLOGY_TYPE",
        `operator "${operator}": column "${each}" is ${list.name}; inferEach needs a list of structs.`,
        { operator, column: each },
      );
    }
    requireColumns(operator, service.input, list.item.columns, `${each}[].`, `service "${service.id}"`);
    const columns = { ...this.node.columns, [options.into]: t.list(t.struct(service.output)) };
    return this.next(
      "infer",
      { id: operator },
      { columns, service, ordered: options.ordered ?? true, each, into: options.into },
    );
  }

  /**
   * Brings rows with equal values in these columns to the same parallel instance of what follows. What is read from it
   * may keep state for each key: `reduce`, `process`.
   */
  keyBy<K extends KeyNames<C>>(...keys: K[]): KeyedStream<C, K> {
    const operator = this.builder.nameFor("keyBy", {});
    atLeastOne(operator, keys);
    for (const key of keys) {
      const type = requireColumn(operator, this.node.columns, key);
      if (type.item === undefined && type.columns === undefined && type.tensor === undefined) continue;
      throw new MillraceError(
        "MILL_TOPOLOGY_TYPE",
        `operator "${operator}": column "${key}" is ${type.name}, which cannot be a key. Add a column of a plain type for it.`,
        { operator, column: key },
      );
    }
    return KeyedStream.of(this.next("keyBy", { id: operator }, { columns: this.columns, keys }), keys);
  }

  /**
   * Puts a durable log between what is before and what follows, so that they fail, and start again, apart from each other.
   * Rows are handed over when the checkpoint that they belong to is committed. After `keyBy`, rows with equal values stay together.
   */
  durable(options: DurableOptions = {}): Stream<C> {
    const operator = this.builder.nameFor("durable", options);
    const { partitions, bytesMax = limits.exchangeLogBytesMax } = options;
    const parallelism = partitions === undefined ? undefined : positive(`partitions of "${operator}"`, partitions);
    positive(`bytesMax of operator "${operator}"`, bytesMax);
    if (bytesMax < 2 * limits.exchangeEntryBytesMax) {
      throw new MillraceError(
        "MILL_CONFIG",
        `operator "${operator}": bytesMax is ${bytesMax}, and one entry of the log may take that much. Give at least ${2 * limits.exchangeEntryBytesMax}.`,
        { operator, bytesMax },
      );
    }
    return this.next("durable", { id: operator }, { columns: this.columns, parallelism, bytesMax });
  }

  /** Ends the stream here; a stream may have several sinks. */
  to(sink: Sink, options: OperatorOptions = {}): void {
    const operator = this.builder.nameFor("sink", options);
    try {
      sink.check(this.node.columns);
    } catch (cause) {
      const error = MillraceError.from(cause, "MILL_TOPOLOGY_TYPE");
      throw new MillraceError(
        error.code,
        `operator "${operator}": ${error.message}`,
        { ...error.facts, operator },
        { cause },
      );
    }
    this.next("sink", { id: operator }, { columns: this.columns, sink });
  }

  /** Parallel instances of the operator before. */
  parallelism(instances: number): Stream<C> {
    return this.builder.replace(this.node.id, {
      parallelism: positive(`parallelism of operator "${this.node.id}"`, instances),
    });
  }

  /** Gives the operator before an actor of its own, apart from its input. */
  isolate(): Stream<C> {
    return this.builder.replace(this.node.id, { isolated: true });
  }

  /** What each parallel instance of the operator before needs. Those that share an actor get what the one that needs most says. */
  resources(resources: Resources): Stream<C> {
    const needs = needsOf(`operator "${this.node.id}"`, resources, 0);
    return this.builder.replace(this.node.id, { resources: needs });
  }

  private rows<O extends Columns>(
    kind: "mapRows" | "flatMap" | "filter",
    options: RowsOptions,
    to: O,
    fn: RowFunction,
  ): Stream<O> {
    const operator = this.builder.nameFor(kind, options);
    const concurrency = positive(`concurrency of operator "${operator}"`, options.concurrency ?? 1);
    checkFunction(operator, fn);
    return this.next(kind, { id: operator }, { columns: to, fn, concurrency });
  }

  /** @internal */
  protected next<O extends Columns>(
    kind: OperatorKind,
    options: OperatorOptions,
    extra: Record<string, unknown>,
  ): Stream<O> {
    return this.builder.add(kind, options, { inputs: [this.node.id], ...extra });
  }
}

/** A stream whose rows meet by key. State is kept for each key, saved in checkpoints, and moves with its key. */
export class KeyedStream<in out C extends Columns, K extends keyof C & string> extends Stream<C> {
  private constructor(
    stream: Stream<C>,
    private readonly keys: readonly K[],
  ) {
    super(stream.builder, stream.node);
  }

  /** @internal */
  static of<C extends Columns, K extends keyof C & string>(stream: Stream<C>, keys: readonly K[]): KeyedStream<C, K> {
    return new KeyedStream(stream, keys);
  }

  /** Rows stay by key on the other side. */
  override durable(options: DurableOptions = {}): KeyedStream<C, K> {
    return KeyedStream.of(super.durable(options), this.keys);
  }

  /**
   * Folds the rows of each key into one accumulator. Emits the key columns and the accumulator.
   * A row for which `fn` throws is a bad record, and changes nothing.
   */
  reduce<O extends Columns>(
    options: ReduceOptions<O & NoKeys<NoInfer<O>, K>> & { readonly initial: Row<NoInfer<O>> },
    fn: (accumulator: Row<NoInfer<O>>, row: Row<C>, context: OperatorContext) => Awaitable<Row<NoInfer<O>>>,
  ): Stream<Merged<Pick<C, K>, O>>;
  /** Without `initial`, the accumulator of a key's first row is undefined. */
  reduce<O extends Columns>(
    options: ReduceOptions<O & NoKeys<NoInfer<O>, K>> & { readonly initial?: undefined },
    fn: (accumulator: Row<NoInfer<O>> | undefined, row: Row<C>, context: OperatorContext) => Awaitable<Row<NoInfer<O>>>,
  ): Stream<Merged<Pick<C, K>, O>>;
  reduce<O extends Columns>(
    options: ReduceOptions<O> & { readonly initial?: Row<O> | undefined },
    fn: unknown,
  ): Stream<Merged<Pick<C, K>, O>> {
    const operator = this.builder.nameFor("reduce", options);
    const { to, initial, emit = "end" } = options;
    checkTypes(operator, to);
    atLeastOne(operator, Object.keys(to));
    checkFunction(operator, fn);
    const key = this.keys.find((name) => Object.hasOwn(to, name));
    if (key !== undefined) {
      throw new MillraceError(
        "MILL_TOPOLOGY_COLUMN",
        `operator "${operator}": column "${key}" is a key, which is added by itself. Take it out of { to }.`,
        { operator, column: key },
      );
    }
    if (emit !== "end" && emit !== "changes") {
      const message = `operator "${operator}": emit is "${String(emit)}"; give "end" or "changes".`;
      throw new MillraceError("MILL_CONFIG", message, { operator });
    }
    const names = Object.fromEntries(this.keys.map((name) => [name, this.columns[name]]));
    const extra = { columns: { ...names, ...to }, keys: this.keys, state: to, emit, fn };
    return this.next("reduce", { id: operator }, { ...extra, initial: checkInitial(operator, to, initial) });
  }

  /**
   * Any number of rows for each row, and one row of state for each key, with the columns `options.state`.
   * A row for which `fn` throws, or makes a row that does not fit, is a bad record, and changes nothing.
   */
  process<O extends Columns, S extends Columns>(
    options: OperatorOptions & { readonly to: O; readonly state: S },
    fn: (
      row: Row<C>,
      state: KeyState<Row<NoInfer<S>>>,
      context: OperatorContext,
    ) => Awaitable<Iterable<Row<NoInfer<O>>>>,
  ): Stream<O> {
    const operator = this.builder.nameFor("process", options);
    const { to, state } = options;
    checkTypes(operator, state, "state");
    atLeastOne(operator, Object.keys(state));
    checkFunction(operator, fn);
    return this.next("process", { id: operator }, { columns: to, keys: this.keys, state, fn });
  }
}
