/** How requests are held against the schemas of their routes. */
import { Ajv, type Options } from "ajv";
import type { FastifyInstance } from "fastify";

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
  app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === "body" ? bodies : texts).compile(schema as object));
}
