/** A chart over the last half hour. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line {
  readonly label: string;
  /** Name of a CSS variable. */
  readonly colour: string;
  readonly values: readonly number[];
}

const HEIGHT = 140;

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
  const shape = lines.map(({ label }) => label).join();
  useEffect(() => {
    const element = frame.current!;
    const style = getComputedStyle(element);
    const ink = style.getPropertyValue("--quiet");
    const grid = { stroke: style.getPropertyValue("--line"), width: 1 };
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        cursor: { y: false },
        legend: { live: true },
        axes: [
          { stroke: ink, grid },
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
            value: (_: uPlot, value: number | null) => (value === null ? "–" : text(value)),
          })),
        ],
      },
      [[], ...lines.map(() => [])],
      element,
    );
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.current?.destroy();
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData([atMs.map((ms) => ms / 1_000), ...lines.map(({ values }) => [...values])]);
  }, [atMs, lines]);
  const now = lines.map(({ label, values }) => `${label} ${text(values.at(-1) ?? 0)}`).join(", ");
  return (
    <figure class="chart" aria-label={`${title}: ${now}`}>
      <figcaption>{title}</figcaption>
      <div ref={frame} />
    </figure>
  );
}
