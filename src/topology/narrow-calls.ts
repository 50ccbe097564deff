/**
 * Drops columns before a call that nobody reads behind it. Rows wait for their answers with all their columns, and are in every checkpoint
 * that is taken meanwhile: so is a picture that was turned into a tensor before, for as long as the model takes.
 *
 * Invariants:
 *   N1  What leaves the topology is the same, value by value. Dead letters of the call have the columns that are left.
 *   N2  Columns are dropped only where `select`s are all that reads the call's rows: nobody else says which ones it needs. They are dropped by
 *       an operator of its own, so that plan, state and dead letters tell of the same columns.
 *   N3  Of calls behind each other the last comes first: what it does not take, the one before it need not hold.
 */
import type { OperatorId } from "../base/ids.js";
import type { Columns } from "../types/columns.js";
import type { InferNode, OperatorNode, SelectNode } from "./nodes.js";

/** @param operators inputs before those that read them @returns the same, with a `select` before each call that it narrows */
export function narrowCalls(operators: readonly OperatorNode[]): readonly OperatorNode[] {
  return operators.reduceRight<readonly OperatorNode[]>((nodes, { id }) => {
    const call = nodes.find((node) => node.id === id)!;
    return call.kind === "infer" ? narrowed(nodes, call) : nodes;
  }, operators);
}

function narrowed(nodes: readonly OperatorNode[], call: InferNode): readonly OperatorNode[] {
  const readers = nodes.filter(({ inputs }) => inputs.includes(call.id));
  if (readers.length === 0 || !readers.every(({ kind }) => kind === "select")) return nodes;
  const { kind, columns } = nodes.find(({ id }) => id === call.inputs[0])!;
  if (kind === "keyBy") return nodes; // which row goes to which instance is decided by who reads it
  const { input, output } = call.service;
  const answered = new Set(call.into === undefined ? Object.keys(output) : [call.into]);
  const wanted = readers.flatMap((reader) => Object.keys(reader.columns)).filter((name) => !answered.has(name));
  const kept = new Set([...wanted, ...(call.each === undefined ? Object.keys(input) : [call.each])]);
  if (kept.size === 0 || Object.keys(columns).every((name) => kept.has(name))) return nodes;
  const select: SelectNode = {
    kind: "select",
    id: newId(nodes, `${call.id}-columns`),
    columns: only(columns, kept),
    inputs: call.inputs,
    parallelism: undefined,
    isolated: false,
  };
  const behind = { ...call, inputs: [select.id], columns: { ...select.columns, ...only(call.columns, answered) } };
  return nodes.flatMap((node) => (node === call ? [select, behind] : [node]));
}

function only(columns: Columns, names: ReadonlySet<string>): Columns {
  return Object.fromEntries(Object.entries(columns).filter(([name]) => names.has(name)));
}

function newId(nodes: readonly OperatorNode[], wanted: string): OperatorId {
  const isTaken = (name: string) => nodes.some(({ id }) => id === name);
  let name = wanted;
  for (let i = 2; isTaken(name); i++) name = `${wanted}-${i}`;
  return name as OperatorId;
}
