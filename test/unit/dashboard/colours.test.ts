/** Colours of the dashboard, read from its style sheet: what is written can be read, in light and in dark. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";

const css = readFileSync(join(packageRoot(), "dashboard", "main.css"), "utf8");
const [, light = "", dark = ""] =
  /:root \{([^}]*)\}\n@media \(prefers-color-scheme: dark\) \{\s*:root \{([^}]*)\}/.exec(css) ?? [];

/** What is written with, on what. */
const TEXT: readonly (readonly [ink: string, paper: string])[] = [
  ...["ink", "quiet", "accent", "bad", "waits"].flatMap((ink) =>
    ["paper", "card"].map((paper) => [ink, paper] as const),
  ),
  ["good", "good-bg"],
  ["bad", "bad-bg"],
  ["waits", "waits-bg"],
  ["way", "way-bg"],
  // The main button, and a service in the graph.
  ["card", "accent"],
  ["ink", "way-bg"],
];
/** What is drawn, and must be told from its ground. */
const DRAWN = ["busy", "pressed", "line-1", "line-2", "line-3", "line-4", "good", "bad"];

/** Relative luminance, WCAG 2.2. */
function luminance(hex: string): number {
  const digits = hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit).join("") : hex.slice(1);
  const [red = 0, green = 0, blue = 0] = [0, 2, 4]
    .map((at) => Number.parseInt(digits.slice(at, at + 2), 16) / 255)
    .map((share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [less = 0, more = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (more + 0.05) / (less + 0.05);
}

for (const [scheme, text] of [
  ["light", light],
  ["dark", dark],
] as const) {
  describe(`dashboard/main.css: ${scheme} colours`, () => {
    const colours = new Map([...text.matchAll(/--([\w-]+): (#[0-9a-f]{3,6});/g)].map(([, name, hex]) => [name!, hex!]));
    const of = (name: string): string => {
      const found = colours.get(name);
      assert.ok(found !== undefined, `--${name} is a colour of its own in ${scheme}`);
      return found;
    };

    it("text stands out from its ground by 4.5 or more", () => {
      for (const [ink, paper] of TEXT) {
        const ratio = contrast(of(ink), of(paper));
        assert.ok(ratio >= 4.5, `--${ink} on --${paper}: ${ratio.toFixed(2)}`);
      }
    });

    it("bars and lines stand out from their ground by 3 or more", () => {
      for (const name of DRAWN) {
        for (const ground of ["card", "paper"]) {
          const ratio = contrast(of(name), of(ground));
          assert.ok(ratio >= 3, `--${name} on --${ground}: ${ratio.toFixed(2)}`);
        }
      }
    });
  });
}

describe("dashboard/main.css: movement", () => {
  it("nothing moves by itself where somebody asked for less of it", () => {
    const calm = css.replace(/@media \(prefers-reduced-motion: no-preference\) \{[\s\S]*?\n\}\n/g, "");
    assert.doesNotMatch(calm, /\b(transition|animation)\b/);
  });
});
