/**
 * A struct type as the shape of a language model's answer: the JSON Schema that the model is told, and the values that its answer is turned into.
 *
 * What is checked is the column type itself, and not the JSON Schema made of it: a general validator would not give numbers as
 * columns have them, and would know nothing of the limits here.
 *
 *   A1  What is accepted fits the column, whole: nothing is guessed, rounded or left out.
 */
import { MillraceError } from "../../base/errors.js";
import { type Columns, type ColumnType, t } from "../../types/columns.js";

/** What the model is told of a part, beside its type. */
export interface FieldNote {
  readonly description?: string;
  /** Texts that it may be, and no others. */
  readonly choices?: readonly string[];
}
/** By path: `total`, `lines[].unit`, `seller.name`. */
export type FieldNotes = Readonly<Record<string, FieldNote>>;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Of the type, and so of what may be in an answer. OpenAI's own limits for schemas are these, too. */
const DEPTH_MAX = 10;
const FIELDS_MAX = 5_000;

const PLAIN: Readonly<Record<string, JsonSchema>> = {
  [t.bool.name]: { type: "boolean" },
  [t.int32.name]: { type: "integer" },
  [t.int64.name]: { type: "integer" },
  [t.float32.name]: { type: "number" },
  [t.float64.name]: { type: "number" },
  [t.utf8.name]: { type: "string" },
};

const baseName = ({ name }: ColumnType) => name.replace(/\?$/, "");

/** @throws {MillraceError} `MILL_CONFIG`: a model cannot answer with such a type, or a note is for no part of it */
export function jsonSchema(name: string, columns: Columns, notes: FieldNotes): JsonSchema {
  const left = new Set(Object.keys(notes));
  let fields = 0;
  const bad = (what: string) => new MillraceError("MILL_CONFIG", `${name}: schema: ${what}.`, { function: name });
  const of = (type: ColumnType, path: string, depth: number): JsonSchema => {
    if (depth > DEPTH_MAX) throw bad(`"${path}" is deeper than ${DEPTH_MAX} levels`);
    const note = notes[path];
    left.delete(path);
    const plain = plainSchema(type, path, depth);
    const schema = note?.choices === undefined ? plain : { ...plain, enum: choicesOf(type, path, note.choices) };
    const described = note?.description === undefined ? schema : { ...schema, description: note.description };
    if (!type.nullable) return described;
    return typeof described.enum === "undefined" && PLAIN[baseName(type)] !== undefined
      ? { ...described, type: [described.type, "null"] }
      : { anyOf: [described, { type: "null" }] };
  };
  const plainSchema = (type: ColumnType, path: string, depth: number): JsonSchema => {
    if (PLAIN[baseName(type)] !== undefined) return PLAIN[baseName(type)]!;
    if (type.item !== undefined) return { type: "array", items: of(type.item, `${path}[]`, depth + 1) };
    if (type.columns !== undefined && type.content === undefined && type.metadata.size === 0) {
      return objectOf(type.columns, path, depth);
    }
    throw bad(`"${path}" is ${type.name}; use structs and lists of ${Object.keys(PLAIN).join(", ")}`);
  };
  const objectOf = (parts: Columns, path: string, depth: number): JsonSchema => {
    const names = Object.keys(parts);
    fields += names.length;
    if (fields > FIELDS_MAX) throw bad(`it has more than ${FIELDS_MAX} parts`);
    if (names.length === 0) throw bad(`"${path}" has no parts`);
    const properties = names.map((part) => [part, of(parts[part]!, path === "" ? part : `${path}.${part}`, depth + 1)]);
    return { type: "object", properties: Object.fromEntries(properties), required: names, additionalProperties: false };
  };
  const choicesOf = (type: ColumnType, path: string, choices: readonly string[]) => {
    const texts = Array.isArray(choices) && choices.length > 0 && choices.every((one) => typeof one === "string");
    if (!texts || baseName(type) !== "utf8")
      throw bad(`choices of "${path}" are at least one text, for a part of t.utf8`);
    return [...choices];
  };
  const made = objectOf(columns, "", 0);
  const [unknown] = left;
  if (unknown !== undefined) throw bad(`fields names "${unknown}", which is no part of it`);
  return made;
}

export interface AnswerLimits {
  /** Characters of an answer. */
  readonly charsMax: number;
  /** Entries of all its lists together. */
  readonly entriesMax: number;
}

/** What is wrong with an answer, in words for the model. */
export class AnswerError extends Error {
  override readonly name = "AnswerError";
}

/** Of nested brackets in what is parsed at all; more than any type has (`DEPTH_MAX`), with room for what is only superfluous. */
const NESTING_MAX = 64;

/** @throws {AnswerError} it is no JSON, has other parts than the type, or is larger than `limits` */
export function parsedAnswer(
  text: string,
  columns: Columns,
  notes: FieldNotes,
  { charsMax, entriesMax }: AnswerLimits,
) {
  if (text.length > charsMax)
    throw new AnswerError(`it has ${text.length} characters; at most ${charsMax} are allowed`);
  const json = withoutFence(text);
  checkNesting(json);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new AnswerError(`it is no JSON: ${(cause as Error).message}`);
  }
  return new Reader(notes, entriesMax).struct(value, columns, "", "");
}

/** Servers that know no response formats have models that put their JSON between two lines of a code block. */
function withoutFence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed.startsWith("```") || !trimmed.endsWith("```")) return trimmed;
  const begin = trimmed.indexOf("\n");
  return begin < 0 ? trimmed : trimmed.slice(begin + 1, -3).trim();
}

function checkNesting(json: string): void {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (inText) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inText = false;
    } else if (code === 0x22) inText = true;
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > NESTING_MAX) throw new AnswerError(`it is nested deeper than ${NESTING_MAX} levels`);
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
}

class Reader {
  #entries = 0;

  constructor(
    private readonly notes: FieldNotes,
    private readonly entriesMax: number,
  ) {}

  /** @param path of what is read, with numbers; `kind` is the same as notes have it */
  #value(value: unknown, type: ColumnType, path: string, kind: string): unknown {
    if (value === null && type.nullable) return null;
    if (type.item !== undefined) return this.#list(value, type.item, path, kind);
    if (type.columns !== undefined) return this.struct(value, type.columns, path, kind);
    const read = plainValue(value, baseName(type));
    if (read === undefined) throw new AnswerError(`${path}: ${wanted(type)} is needed, not ${shown(value)}`);
    const choices = this.notes[kind]?.choices;
    if (choices !== undefined && !choices.includes(read as string)) {
      throw new AnswerError(`${path}: it is ${shown(value)}; it must be one of ${choices.join(", ")}`);
    }
    return read;
  }

  #list(value: unknown, item: ColumnType, path: string, kind: string): unknown[] {
    if (!Array.isArray(value)) throw new AnswerError(`${path}: a list is needed, not ${shown(value)}`);
    this.#entries += value.length;
    if (this.#entries > this.entriesMax) throw new AnswerError(`its lists have more than ${this.entriesMax} entries`);
    return value.map((one, i) => this.#value(one, item, `${path}[${i}]`, `${kind}[]`));
  }

  struct(value: unknown, columns: Columns, path: string, kind: string): Record<string, unknown> {
    const where = path === "" ? "the answer" : path;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new AnswerError(`${where}: an object is needed, not ${shown(value)}`);
    }
    const more = Object.keys(value).find((part) => !Object.hasOwn(columns, part));
    if (more !== undefined) throw new AnswerError(`${where} has a part "${more.slice(0, 80)}" that the schema lacks`);
    const parts = Object.entries(columns).map(([part, type]) => {
      if (!Object.hasOwn(value, part)) throw new AnswerError(`${where} lacks "${part}"`);
      const read = (value as Record<string, unknown>)[part];
      const below = (prefix: string) => (prefix === "" ? part : `${prefix}.${part}`);
      return [part, this.#value(read, type, below(path), below(kind))] as const;
    });
    return Object.fromEntries(parts);
  }
}

/** undefined: it is no such value (A1) */
function plainValue(value: unknown, type: string): unknown {
  switch (type) {
    case "utf8":
      return typeof value === "string" ? value : undefined;
    case "bool":
      return typeof value === "boolean" ? value : undefined;
    case "int32":
      return Number.isInteger(value) && (value as number) === ((value as number) | 0) ? value : undefined;
    case "int64": // above, JSON's numbers are rounded while they are read
      return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
    case "float32":
      return typeof value === "number" && Number.isFinite(Math.fround(value)) ? value : undefined;
    case "float64":
      return typeof value === "number" && Number.isFinite(value) ? value : undefined;
    default:
      return undefined;
  }
}

function wanted(type: ColumnType): string {
  const words: Readonly<Record<string, string>> = {
    utf8: "a text",
    bool: "true or false",
    int32: "a whole number of 32 bits",
    int64: "a whole number",
  };
  return `${words[baseName(type)] ?? "a number"}${type.nullable ? " or null" : ""}`;
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
