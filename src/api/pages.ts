/** The built page of the dashboard, with the headers that keep it from loading or running anything but its own. */
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";

const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "connect-src 'self'"],
  ...["img-src 'self' blob: data:", "media-src 'self' blob:", "font-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

/** @param folder with `index.html`; other files have a hash of their content in their names */
export async function servePages(app: FastifyInstance, folder: string): Promise<void> {
  await app.register(fastifyStatic, {
    root: folder,
    index: "index.html",
    cacheControl: false,
    setHeaders(response, path) {
      response.setHeader("content-security-policy", POLICY);
      response.setHeader("referrer-policy", "no-referrer");
      response.setHeader("cache-control", path.endsWith(".html") ? "no-cache" : "public, max-age=31536000, immutable");
    },
  });
}
