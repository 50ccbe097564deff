/**
 * A sheet of paper that is drawn on: gathers SVG, and the true text in the order in which a reader reads it.
 *
 * Drawing and truth are one call, so that they cannot drift apart: `row` draws the cells of one visual line and
 * records them as one true line, joined by one space.
 */
export interface Style {
  readonly size: number;
  readonly family?: string;
  readonly bold?: boolean;
  readonly colour?: string;
}

export interface Cell {
  readonly x: number;
  readonly text: string;
  readonly anchor?: "start" | "middle" | "end";
  readonly style?: Partial<Style>;
}

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export class Sheet {
  readonly #marks: string[] = [];
  readonly lines: string[] = [];

  constructor(
    readonly width: number,
    readonly height: number,
    readonly family: string,
    readonly ink = "#1c1c1c",
  ) {}

  row(y: number, style: Style, cells: readonly Cell[]): void {
    for (const cell of cells) {
      const { size, family = this.family, bold = false, colour = this.ink } = { ...style, ...cell.style };
      const weight = bold ? ' font-weight="bold"' : "";
      this.#marks.push(
        `<text x="${cell.x}" y="${y}" font-family="${family}" font-size="${size}"${weight} fill="${colour}" text-anchor="${cell.anchor ?? "start"}">${escapeXml(cell.text)}</text>`,
      );
    }
    this.lines.push(cells.map((cell) => cell.text).join(" "));
  }

  text(x: number, y: number, style: Style, text: string, anchor: Cell["anchor"] = "start"): void {
    this.row(y, style, [{ x, text, anchor }]);
  }

  rule(x1: number, y1: number, x2: number, y2: number, thick = 2, colour = "#555555"): void {
    this.#marks.push(`<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour}" stroke-width="${thick}"/>`);
  }

  box(x: number, y: number, width: number, height: number, fill: string, stroke = "none"): void {
    this.#marks.push(`<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}" stroke="${stroke}"/>`);
  }

  /** The sheet as SVG, turned clockwise by `degrees` around its middle; `paper` shows where nothing is drawn. */
  svg(degrees: number, paper: string): string {
    const turn = degrees === 0 ? "" : ` transform="rotate(${degrees} ${this.width / 2} ${this.height / 2})"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}"><rect width="100%" height="100%" fill="${paper}"/><g${turn}>${this.#marks.join("")}</g></svg>`;
  }
}
