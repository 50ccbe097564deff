/** How requests are held against the schemas of their routes. */
import { Ajv, type Options } from "ajv";
import type { FastifyInstance } from "fastify";
import { MillraceError } from "../base/errors.js";

const OPTIONS: Options = {
  useDefaults: true,
  removeAdditional: false,
  allErrors: false,
  addUsedSchema: false,
  strict: false,
};

/**
 * What comes as text (paths, queries, headers) becomes what its schema wants. A body is JSON and has types: there `null` is not `false`, and
 * "1" is not 1, or a slip would be taken for a wish.
 */
export function holdToSchemas(app: FastifyInstance): void {
  const texts = new Ajv({ ...OPTIONS, coerceTypes: "array" });
  const bodies = new Ajv({ ...OPTIONS, coerceTypes: false });
  app.setValidatorCompiler(({ schema, httpPart }) => {
    if (httpPart === "body") return bodies.compile(schema as object);
    const check = texts.compile(schema as object);
    const whole = wholeNumbersOf(schema as Properties);
    // Whoever looks for errors finds those of this function.
    const checkText = (data: Readonly<Record<string, unknown>>) => {
      const wrong = whole.find((name) => typeof data[name] === "string" && !WHOLE.test(data[name]));
      if (wrong !== undefined) {
        const text = `${httpPart ?? "request"} ${wrong} is no whole number. See /docs for what it may be.`;
        return { error: new MillraceError("MILL_REQUEST_INVALID", text) };
      }
      const right = check(data);
      Object.assign(checkText, { errors: check.errors });
      return right;
    };
    return checkText;
  });
}

interface Properties {
  readonly properties?: Readonly<Record<string, { readonly type?: string }>>;
}

/** Not "+1.0", " 1" or "": they would be taken for numbers, and no client means them. */
const WHOLE = /^-?\d+$/;

function wholeNumbersOf({ properties = {} }: Properties): string[] {
  return Object.entries(properties).flatMap(([name, { type }]) => (type === "integer" ? [name] : []));
}
