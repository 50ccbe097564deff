/** The OpenAPI document, made of the schemas that validate, and its page. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import type { ApiOptions } from "./api-options.js";

const TAGS: Readonly<Record<string, string>> = {
  cluster: "The coordinator and the cluster as a whole.",
  jobs: "Jobs: submit, look at, change, end.",
  checkpoints: "Checkpoints of regions, and savepoints of jobs.",
  services: "Services and their instances.",
  workers: "Machines that run hosts and instances.",
  "dead letters": "Records that operators refused.",
  content: "Content that jobs own.",
  models: "Services as endpoints of the Open Inference Protocol.",
};

/** The page has no code of its own in it; styles it has. */
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "connect-src 'self'"],
  ...[
    "img-src 'self' data:",
    "font-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ],
].join("; ");

export async function describeApi(app: FastifyInstance, { version }: ApiOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Millrace",
        version,
        description:
          "The HTTP API of a Millrace cluster. Every coordinator serves it; requests reach the one that leads.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
  });
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: POLICY, uiConfig: { docExpansion: "list" } });
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
}
