/** The style and the behaviour of the report, as they stand in its HTML. Plain CSS and DOM: it must open from a file. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --ink: #1d2128; --dim: #5d6573; --edge: #d9dde4; --strong: #2457c5;
  --good: #1f8a4c; --fair: #a86a00; --poor: #c8322b; --mark: #ffe69a; --hover: #e9f0ff; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --card: #1d2128; --ink: #e6e9ee; --dim: #9aa3b2; --edge: #343b47; --strong: #8ab0ff;
  --good: #55c582; --fair: #e5a93d; --poor: #ff7b72; --mark: #6b5600; --hover: #26334d; } img { filter: brightness(.88); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main { max-width: 1360px; margin: 0 auto; padding: 0 24px; }
h1 { font-size: 24px; margin: 28px 0 14px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; }
.tiles > div { flex: 1 1 170px; background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 12px 16px; }
dt { color: var(--dim); font-size: 13px; }
dd { margin: 0; font-size: 25px; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.3; }
dd.note { font-size: 13px; font-weight: 400; color: var(--dim); }
.outputs { color: var(--dim); margin: 14px 0 0; overflow-wrap: anywhere; }
.outputs code { color: var(--ink); margin-right: 10px; }
.failed { margin-top: 14px; color: var(--poor); } .failed li { color: var(--ink); overflow-wrap: anywhere; }
nav { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; align-items: center; gap: 8px 22px; margin: 20px 0 4px; background: var(--back); border-bottom: 1px solid var(--edge);
  padding: 10px max(24px, calc((100% - 1312px) / 2)); }
fieldset { display: flex; border: 0; margin: 0; padding: 0; }
legend { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
fieldset input { position: absolute; opacity: 0; }
fieldset span { display: block; padding: 5px 12px; border: 1px solid var(--edge); margin-left: -1px; background: var(--card); cursor: pointer; }
fieldset label:first-of-type span { border-radius: 7px 0 0 7px; } fieldset label:last-of-type span { border-radius: 0 7px 7px 0; }
fieldset small { color: var(--dim); }
fieldset input:checked + span { background: var(--strong); border-color: var(--strong); color: var(--card); }
fieldset input:checked + span small { color: inherit; opacity: .8; }
fieldset input:focus-visible + span, li:focus-visible, #find:focus-visible { outline: 2px solid var(--strong); outline-offset: 2px; }
.find span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
#find { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: 7px; padding: 4px 10px; width: 190px; }
output { color: var(--dim); font-variant-numeric: tabular-nums; }
.legend { margin-left: auto; color: var(--dim); font-size: 13px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin: 0 3px 0 9px; background: currentColor; }
.good { color: var(--good); } .fair { color: var(--fair); } .poor { color: var(--poor); }
.page { background: var(--card); border: 1px solid var(--edge); border-radius: 12px; padding: 16px 18px 18px; margin: 18px 0; }
h2 { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; font-size: 17px; margin: 0 0 12px; }
h2 small { font-weight: 400; color: var(--dim); }
.chip { font-size: 12px; font-weight: 500; padding: 1px 9px; border-radius: 99px; border: 1px solid var(--edge); color: var(--dim); }
.chip.noisy { border-style: dashed; }
.rate { font-size: 14px; font-weight: 600; margin-left: auto; }
.sides { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 22px; align-items: start; }
figure { position: sticky; top: 64px; margin: 0; border: 1px solid var(--edge); border-radius: 6px; overflow: hidden; line-height: 0; }
img { width: 100%; height: auto; }
svg { position: absolute; inset: 0; width: 100%; height: 100%; }
polygon { fill: transparent; stroke: currentColor; vector-effect: non-scaling-stroke; stroke-width: 1.5px; cursor: pointer; }
polygon.good { color: #1f8a4c; } polygon.fair { color: #b87400; stroke-dasharray: 7 3; } polygon.poor { color: #d0211a; stroke-dasharray: 3 3; }
polygon.on { fill: rgb(36 87 197 / .2); stroke: #2457c5; stroke-width: 2.5px; stroke-dasharray: none; }
ol { list-style: none; margin: 0; padding: 0; }
li[data-line] { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 12px; padding: 2.5px 8px; border-left: 3px solid currentColor; border-radius: 0 5px 5px 0; margin-bottom: 2px; cursor: default; }
li .text { color: var(--ink); overflow-wrap: anywhere; }
li .confidence { font-size: 12px; font-variant-numeric: tabular-nums; align-self: center; }
li .truth { grid-column: 1 / -1; color: var(--dim); font-size: 13px; overflow-wrap: anywhere; }
ins { text-decoration: underline 2px var(--poor); text-underline-offset: 3px; color: var(--ink); font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
ins:empty::before { content: "\\00a0"; }
li.on { background: var(--hover); }
mark { background: var(--mark); color: inherit; }
.none { color: var(--dim); text-align: center; padding: 40px; }
[hidden] { display: none !important; }
@media (max-width: 760px) { header, main { padding: 0 12px; } nav { padding: 8px 12px; gap: 8px 12px; position: static; } figure { position: relative; top: 0; } .sides { grid-template-columns: minmax(0, 1fr); gap: 14px; }
  .tiles > div { flex-basis: 130px; padding: 9px 12px; } dd { font-size: 20px; } .legend { margin-left: 0; } .rate { margin-left: 0; } .page { padding: 12px; } fieldset span { padding: 5px 9px; } #find { width: 160px; } }
@media print { nav { display: none; } .page { break-inside: avoid; } }
`;

export const REPORT_SCRIPT = `
"use strict";
const pages = [...document.querySelectorAll(".page")];
const light = (target, on) => {
  const line = target.closest?.("[data-line]");
  if (!line) return;
  for (const twin of line.closest(".page").querySelectorAll('[data-line="' + line.dataset.line + '"]')) twin.classList.toggle("on", on);
};
for (const [start, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(start, (event) => light(event.target, true));
  document.addEventListener(end, (event) => light(event.target, false));
}
document.addEventListener("click", (event) => {
  const outline = event.target.closest?.("polygon");
  outline?.closest(".page").querySelector('li[data-line="' + outline.dataset.line + '"]').scrollIntoView({ block: "nearest", behavior: "smooth" });
});
const find = document.getElementById("find");
const mark = (text, wanted) => {
  const whole = text.textContent;
  text.textContent = whole;
  if (wanted === "") return false;
  const at = whole.toLowerCase().indexOf(wanted);
  if (at < 0) return false;
  const range = document.createRange();
  range.setStart(text.firstChild, at);
  range.setEnd(text.firstChild, at + wanted.length);
  range.surroundContents(document.createElement("mark"));
  return true;
};
const show = () => {
  const choice = document.querySelector("input[name=show]:checked")?.value ?? "all";
  const wanted = find.value.trim().toLowerCase();
  let shown = 0;
  for (const page of pages) {
    const chosen = choice === "all" || (choice === "wrong" ? "wrong" in page.dataset : page.dataset.condition === choice);
    let hits = 0;
    for (const text of page.querySelectorAll("li .text")) if (mark(text, wanted)) hits++;
    page.hidden = !chosen || (wanted !== "" && hits === 0 && !page.getAttribute("aria-label").toLowerCase().includes(wanted));
    if (!page.hidden) shown++;
  }
  document.getElementById("shown").textContent = shown + " shown";
  document.querySelector(".none").hidden = shown > 0;
};
document.addEventListener("change", (event) => { if (event.target.name === "show") show(); });
find.addEventListener("input", show);
`;

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** The whole file. Its own policy forbids everything from outside, and scripts where it has none. */
export function reportPage(
  { title, style, script = "" }: { readonly title: string; readonly style: string; readonly script?: string },
  head: string,
  body: string,
): string {
  const scripts = script === "" ? "" : "; script-src 'unsafe-inline'";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'${scripts}">
<title>${title}</title><style>${style}</style></head>
<body>
${head}
<main>
${body}
</main>${script === "" ? "" : `\n<script>${script}</script>`}
</body></html>
`;
}
