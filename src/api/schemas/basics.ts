/**
 * Schemas that many routes share. As in `coordinator/describe.ts`: a name that ends with `Ms` is milliseconds, since 1970 where it is a point in
 * time, with 0 for what has not come; `Bytes` are bytes; an empty text says nothing.
 */
import Type, { type TProperties, type TSchema } from "typebox";
import { ROLES } from "../access.js";
import { PAGE_ITEMS, PAGE_ITEMS_MAX } from "../paging.js";

/** As `base/ids.ts` has it. */
const ID = "^[a-zA-Z0-9_-]{1,128}$";
export const Id = (description: string) => Type.String({ pattern: ID, description });
export const Sha256 = (description: string) => Type.String({ pattern: "^[0-9a-f]{64}$", description });
export const Text = (description: string) => Type.String({ description });
export const Count = (description: string) => Type.Integer({ minimum: 0, description });
/** A count as Avro has it; JSON has it as a number all the same. */
export const Long = (description: string) => Type.Unsafe<bigint>({ type: "integer", minimum: 0, description });
export const Quantity = (description: string) => Type.Number({ minimum: 0, description });
export const TimeMs = (description: string) =>
  Type.Integer({ minimum: 0, description: `${description} Milliseconds since 1970; 0: not (yet).` });
export const Share = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });
export const OneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });

/** As the runtime has lists. */
export const List = <T extends TSchema>(item: T, description = "") =>
  Type.Unsafe<readonly Type.Static<T>[]>(Type.Array(item, description === "" ? {} : { description }));

export const JobPath = Type.Object({ job: Id("Id of a job.") });
export const ServicePath = Type.Object({ ...JobPath.properties, service: Id("Id of a service.") });

const PageQuery = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: PAGE_ITEMS_MAX, description: `Items of a page; default ${PAGE_ITEMS}.` }),
  ),
  after: Type.Optional(Type.String({ maxLength: 1_024, description: "`next` of the page before." })),
};

/** A query of a list: paged, with filters of its own. */
export const listQuery = <T extends TProperties>(filters: T) =>
  Type.Object({ ...PageQuery, ...filters }, { additionalProperties: false });

export const pageOfItems = <T extends TSchema>(item: T) =>
  Type.Object({
    items: List(item),
    next: Type.Optional(
      Type.String({ description: "Give it as `after` for the next page. Not there: this is the last one." }),
    ),
  });

export const Problem = Type.Object(
  {
    type: Type.String({ description: "Names the kind of error." }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: "What is wrong, and what to do next." }),
    code: Type.String({ description: "As in docs/errors.md. Branch on this." }),
  },
  { title: "Problem", description: "RFC 9457 problem details." },
);

const PROBLEM = {
  description: "An error, with its code.",
  content: { "application/problem+json": { schema: Problem } },
};

/** Answers of a route: its own, and problems. */
export const answers = <T extends Readonly<Record<number, TSchema>>>(own: T) => ({
  ...own,
  "4xx": PROBLEM,
  "5xx": PROBLEM,
});

export const Role = OneOf(ROLES, "Role of an access token.");

/** What was begun and goes on. */
export const Operation = Type.Object(
  {
    operation: Text("Its id: `GET /v1/operations/{operation}` says how it stands."),
    state: OneOf(["running", "done", "failed"], "How it stands."),
    message: Text("What is waited for, or why it failed."),
    code: Text("Error code of one that failed."),
  },
  { title: "Operation" },
);
