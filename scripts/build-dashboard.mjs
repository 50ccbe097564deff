/**
 * Builds the dashboard into `dist/dashboard`: one script and one style sheet with a hash of their content in their names, and the page
 * that names them. Part of `npm run build`.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const to = join(root, "dist", "dashboard");

const { outputFiles } = await build({
  entryPoints: [join(root, "dashboard", "main.tsx")],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome116", "firefox118", "safari17"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  outdir: to,
  write: false,
  logLevel: "warning",
});

rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
let page = readFileSync(join(root, "dashboard", "index.html"), "utf8");
for (const { path, contents } of outputFiles) {
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 12);
  const [, name, extension] = /([^/\\]+)(\.\w+)$/.exec(path);
  writeFileSync(join(to, `${name}-${hash}${extension}`), contents);
  page = page.replace(`./${name}${extension}`, `./${name}-${hash}${extension}`);
}
writeFileSync(join(to, "index.html"), page);
