/** Dead letters as the API shows them. */
import Type from "typebox";
import { Count, Id, List, OneOf, Text, TimeMs } from "./basics.js";

export const LETTER_STATES = ["open", "replayed", "discarded"] as const;

const LetterId = Type.String({
  pattern: "^dead-letters-[a-zA-Z0-9_-]{1,200}\\.[0-9]{1,15}\\.[0-9a-f]{12}$",
  description: "Id of a dead letter.",
});

export const LetterPath = Type.Object({ job: Id("Id of a job."), letter: LetterId });
export const ContentPath = Type.Object({
  ...LetterPath.properties,
  path: Type.String({ minLength: 1, maxLength: 300, description: "Path in the record, such as `page` or `pages.0`." }),
});

export const LetterFilters = {
  operator: Type.Optional(Text("Only those that this operator refused.")),
  code: Type.Optional(Text("Only those with this error code.")),
};

export const DeadLetterSummary = Type.Object(
  {
    id: Text("Its id, for good."),
    operator: Text("Operator that refused it."),
    code: Text("Error code."),
    message: Text("Why it was refused."),
    atMs: TimeMs("When it was refused."),
    state: OneOf(LETTER_STATES, "Whether something was decided of it."),
    job: Text("Job that replays it; empty: none does."),
    by: Text("Who decided; empty: nobody did."),
  },
  { title: "DeadLetterSummary" },
);

export const DeadLetterDetail = Type.Object(
  {
    ...DeadLetterSummary.properties,
    record: Type.Unsafe<Record<string, unknown>>({
      type: "object",
      additionalProperties: true,
      description: "The record as its operator saw it; of content the reference, of tensors the first elements.",
    }),
    replayable: Type.Boolean({ description: "It can be given back to its operator." }),
    hindrance: Text("Why it cannot; empty: it can."),
    contents: List(
      Type.Object({
        path: Text("Where in the record: what `content/{path}` takes."),
        uri: Text("Where it is; empty: in the record itself."),
        mediaType: Text("As the record says; empty: it does not."),
        sizeBytes: Type.Integer({ minimum: -1, description: "Bytes; -1: to the object's end." }),
      }),
    ),
  },
  { title: "DeadLetter" },
);

export const ReplayAnswer = Type.Object(
  {
    replays: List(Type.Object({ job: Text("Job that replays them."), records: Count("How many of them.") })),
    left: Count("Of those asked for, how many cannot be replayed."),
    more: Type.Boolean({ description: "There are more: ask again." }),
  },
  { title: "Replays" },
);

export const DiscardAnswer = Type.Object(
  { discarded: Count("How many."), more: Type.Boolean({ description: "There are more: ask again." }) },
  { title: "Discarded" },
);

export const ManyBody = Type.Object(
  { filter: Type.Optional(Type.Object(LetterFilters, { additionalProperties: false })) },
  { additionalProperties: false },
);
