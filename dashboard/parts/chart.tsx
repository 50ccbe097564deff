/** A chart over the last half hour. */
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { clock } from "../format.js";
import "uplot/dist/uPlot.min.css";

export interface Line {
  readonly label: string;
  /** Name of a CSS variable. */
  readonly colour: string;
  readonly values: readonly number[];
}

const HEIGHT = 140;
const two = (value: number): string => String(value).padStart(2, "0");
const hour = (at: Date, everyS: number): string =>
  `${two(at.getHours())}:${two(at.getMinutes())}${everyS < 60 ? `:${two(at.getSeconds())}` : ""}`;

/** @param atMs of each value @param text says a value */
export function Chart(props: {
  readonly title: string;
  readonly atMs: readonly number[];
  readonly lines: readonly Line[];
  readonly text: (value: number) => string;
}) {
  const { title, atMs, lines, text } = props;
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const shape = lines.map(({ label }) => label).join();
  const scheme = useScheme();
  useEffect(() => {
    const element = frame.current!;
    plot.current = new uPlot(options(element, lines, text, setPointed), [[], ...lines.map(() => [])], element);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.current?.destroy();
    };
  }, [shape, scheme]);
  useEffect(() => {
    plot.current?.setData([atMs.map((ms) => ms / 1_000), ...lines.map(({ values }) => [...values])]);
  }, [atMs, lines, shape, scheme]);
  const newest = lines.map(({ label, values }) => `${label} ${text(values.at(-1) ?? 0)}`).join(", ");
  const at = pointed !== null && pointed < atMs.length ? pointed : atMs.length - 1;
  return (
    <figure class="chart" aria-label={`${title}: ${newest}`}>
      <figcaption>
        {title} <span class="at">{pointed === null || at < 0 ? "" : clock(atMs[at]!)}</span>
      </figcaption>
      <p class="values">
        {lines.map(({ label, colour, values }) => (
          <span key={label}>
            <span class="swatch" style={{ background: `var(${colour})` }} />
            {label} <strong>{at < 0 ? "–" : text(values[at] ?? 0)}</strong>
          </span>
        ))}
      </p>
      <div ref={frame} />
    </figure>
  );
}

function options(
  element: HTMLElement,
  lines: readonly Line[],
  text: (value: number) => string,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(element);
  const ink = style.getPropertyValue("--quiet");
  const grid = { stroke: style.getPropertyValue("--line"), width: 1 };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    // Said above the chart: the newest values, or those that are pointed at.
    legend: { show: false },
    hooks: { setCursor: [(u) => onPoint(u.cursor.idx ?? null)] },
    axes: [
      {
        stroke: ink,
        grid,
        size: 32,
        values: (_, ticks, __, ___, everyS) => ticks.map((s) => hour(new Date(s * 1_000), everyS)),
      },
      { stroke: ink, grid, size: 64, values: (_, ticks) => ticks.map(text) },
    ],
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    series: [
      {},
      ...lines.map(({ label, colour }) => ({
        label,
        stroke: style.getPropertyValue(colour),
        width: 1.5,
        points: { show: false },
      })),
    ],
  };
}

/** Light or dark: a canvas is drawn anew where it changes. */
function useScheme(): boolean {
  const [dark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const asked = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setDark(asked.matches);
    asked.addEventListener("change", follow);
    return () => asked.removeEventListener("change", follow);
  }, []);
  return dark;
}
