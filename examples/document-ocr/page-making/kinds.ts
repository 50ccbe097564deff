/** The kinds of page: each draws one sheet of invented content and its true lines, from the draws it is given. */
import type { Draws } from "./draws.js";
import { Sheet } from "./sheet.js";
import { COMPANIES, GOODS, GROCERIES, MONTHS, money, NEWS, PEOPLE, SENTENCES, STREETS, TOWNS, wrap } from "./words.js";

const SANS = "DejaVu Sans";
const SERIF = "DejaVu Serif";
const MONO = "DejaVu Sans Mono";
const CONDENSED = "DejaVu Sans Condensed";

const date = (draws: Draws): string => `${draws.whole(1, 28)} ${draws.pick(MONTHS)} ${draws.whole(2024, 2026)}`;

/** A supplier's letterhead, the buyer, a table of goods with amounts that add up, and the terms. */
export function invoice(draws: Draws): Sheet {
  const sheet = new Sheet(1120, 1400, draws.pick([SANS, CONDENSED, SERIF]));
  const [seller, buyer] = draws.some(COMPANIES, 2) as [string, string];
  const body = { size: 25 };
  sheet.text(90, 130, { size: 40, bold: true, colour: "#1d3f66" }, seller);
  sheet.text(90, 175, { size: 22 }, `${draws.pick(STREETS)}, ${draws.pick(TOWNS)}`);
  sheet.rule(90, 200, 1030, 200, 3, "#1d3f66");
  sheet.row(270, { size: 34, bold: true }, [{ x: 90, text: "INVOICE" }]);
  const facts = [
    ["Invoice number", `${draws.whole(2024, 2026)}-${draws.whole(1000, 9999)}`],
    ["Date", date(draws)],
    ["Customer", buyer],
    ["Contact", draws.pick(PEOPLE)],
  ] as const;
  facts.forEach(([label, value], at) => {
    sheet.row(325 + at * 42, body, [
      { x: 90, text: label },
      { x: 340, text: value },
    ]);
  });

  sheet.box(80, 508, 960, 50, "#e4eaf2");
  sheet.row(542, { size: 24, bold: true }, [
    { x: 90, text: "Description" },
    { x: 640, text: "Qty", anchor: "end" },
    { x: 830, text: "Unit price", anchor: "end" },
    { x: 1030, text: "Amount", anchor: "end" },
  ]);
  let y = 600;
  let net = 0;
  for (const [name, price] of draws.some(GOODS, draws.whole(4, 8))) {
    const quantity = draws.whole(2, 40);
    const unit = Math.round(price * 100);
    net += unit * quantity;
    sheet.row(y, body, [
      { x: 90, text: name },
      { x: 640, text: String(quantity), anchor: "end" },
      { x: 830, text: money(unit), anchor: "end" },
      { x: 1030, text: money(unit * quantity), anchor: "end" },
    ]);
    sheet.rule(90, y + 16, 1030, y + 16, 1, "#bbbbbb");
    y += 50;
  }
  const tax = Math.round(net * 0.2);
  y += 30;
  for (const [label, cents, bold] of [
    ["Net total", net, false],
    ["VAT 20 %", tax, false],
    ["Total EUR", net + tax, true],
  ] as const) {
    sheet.row(y, { size: 26, bold }, [
      { x: 830, text: label, anchor: "end" },
      { x: 1030, text: money(cents), anchor: "end" },
    ]);
    y += 46;
  }
  y += 40;
  sheet.text(90, y, { size: 23 }, `Payment within ${draws.pick([14, 21, 30])} days without deduction.`);
  sheet.text(
    90,
    y + 38,
    { size: 23 },
    `Account DE${draws.whole(10, 99)} ${draws.whole(1000, 9999)} ${draws.whole(1000, 9999)}, reference ${draws.whole(10000, 99999)}`,
  );
  return sheet;
}

/** Sender, date, subject, two or three paragraphs and a closing, in one column. */
export function letter(draws: Draws): Sheet {
  const sheet = new Sheet(1100, 1360, draws.pick([SERIF, SANS]));
  const body = { size: 26 };
  const company = draws.pick(COMPANIES);
  sheet.text(100, 130, { size: 34, bold: true }, company);
  sheet.text(100, 172, { size: 22 }, `${draws.pick(STREETS)}, ${draws.pick(TOWNS)}`);
  const reader = draws.pick(PEOPLE);
  sheet.text(100, 270, body, reader);
  sheet.text(100, 308, body, draws.pick(STREETS));
  sheet.text(100, 346, body, draws.pick(TOWNS));
  sheet.text(1000, 420, body, date(draws), "end");
  sheet.text(100, 490, { size: 27, bold: true }, `Re: order no. ${draws.whole(10, 99)}/${draws.whole(1000, 9999)}`);
  sheet.text(100, 560, body, `Dear ${reader},`);
  const sentences = draws.some(SENTENCES, 9);
  let y = 620;
  for (const part of [sentences.slice(0, 3), sentences.slice(3, 6), sentences.slice(6, 9)]) {
    for (const line of wrap(part.join(" "), 58)) {
      sheet.text(100, y, body, line);
      y += 40;
    }
    y += 22;
    if (y > 1080) break;
  }
  sheet.text(100, y + 30, body, "Yours sincerely,");
  sheet.text(100, y + 110, body, draws.pick(PEOPLE));
  return sheet;
}

/** A till receipt: one narrow column of items with prices at the right edge, monospaced. */
export function receipt(draws: Draws): Sheet {
  const sheet = new Sheet(1000, 1360, MONO, "#222222");
  const body = { size: 32 };
  sheet.text(
    500,
    120,
    { size: 46, bold: true },
    draws.pick(["CORNER MARKET", "GREEN BASKET", "CITY GROCER", "MILL FOODS"]),
    "middle",
  );
  sheet.text(500, 170, { size: 28 }, draws.pick(STREETS), "middle");
  sheet.text(500, 210, { size: 28 }, `Tel. ${draws.whole(200, 899)}-${draws.whole(1000, 9999)}`, "middle");
  sheet.rule(120, 240, 880, 240, 2);
  let y = 300;
  let total = 0;
  for (const [name, price] of draws.some(GROCERIES, draws.whole(7, 11))) {
    const cents = Math.round(price * 100);
    total += cents;
    sheet.row(y, body, [
      { x: 120, text: name },
      { x: 880, text: money(cents), anchor: "end" },
    ]);
    y += 58;
  }
  sheet.rule(120, y - 26, 880, y - 26, 2);
  y += 30;
  sheet.row(y, { size: 38, bold: true }, [
    { x: 120, text: "TOTAL" },
    { x: 880, text: money(total), anchor: "end" },
  ]);
  const paid = Math.ceil(total / 1000) * 1000;
  sheet.row(y + 60, body, [
    { x: 120, text: "CASH" },
    { x: 880, text: money(paid), anchor: "end" },
  ]);
  sheet.row(y + 112, body, [
    { x: 120, text: "CHANGE" },
    { x: 880, text: money(paid - total), anchor: "end" },
  ]);
  sheet.text(
    500,
    y + 190,
    { size: 28 },
    `${draws.whole(10, 28)}.0${draws.whole(1, 9)}.2026 ${draws.whole(10, 20)}:${draws.whole(10, 59)}`,
    "middle",
  );
  sheet.text(500, y + 240, { size: 28 }, "THANK YOU FOR SHOPPING", "middle");
  return sheet;
}

/** A form: labels and typed answers in a ruled grid, then a table of readings. */
export function form(draws: Draws): Sheet {
  const sheet = new Sheet(1150, 1400, draws.pick([SANS, CONDENSED]));
  const body = { size: 26 };
  sheet.text(
    90,
    120,
    { size: 36, bold: true },
    draws.pick(["Service Report", "Delivery Note", "Maintenance Record", "Stock Count Sheet"]),
  );
  const answers = [
    ["Form number", `F-${draws.whole(100, 999)}/${draws.whole(10, 99)}`],
    ["Client", draws.pick(COMPANIES)],
    ["Address", draws.pick(STREETS)],
    ["Town", draws.pick(TOWNS)],
    ["Inspector", draws.pick(PEOPLE)],
    ["Date", date(draws)],
  ] as const;
  answers.forEach(([label, answer], at) => {
    const y = 200 + at * 62;
    sheet.box(90, y - 40, 970, 62, "none", "#777777");
    sheet.rule(370, y - 40, 370, y + 22, 1, "#777777");
    sheet.row(y, body, [
      { x: 108, text: label, style: { colour: "#444444" } },
      { x: 390, text: answer },
    ]);
  });
  let y = 650;
  const ends = [600, 810, 1040];
  sheet.row(y, { size: 25, bold: true }, [
    { x: 108, text: "Part" },
    ...["Pieces", "Weight kg", "Result"].map((text, at) => ({ x: ends[at]!, text, anchor: "end" as const })),
  ]);
  sheet.rule(90, y + 18, 1060, y + 18, 3);
  for (const [name] of draws.some(GOODS, draws.whole(6, 9))) {
    y += 56;
    sheet.row(y, body, [
      { x: 108, text: name },
      { x: ends[0]!, text: String(draws.whole(10, 480)), anchor: "end" },
      { x: ends[1]!, text: draws.between(1, 90).toFixed(1), anchor: "end" },
      { x: ends[2]!, text: draws.pick(["passed", "passed", "replaced", "repaired", "open"]), anchor: "end" },
    ]);
    sheet.rule(90, y + 18, 1060, y + 18, 1, "#999999");
  }
  sheet.text(90, y + 90, body, `Remarks: ${draws.pick(SENTENCES)}`);
  return sheet;
}

/** A headline over two columns of text: read down the left column first. */
export function newsletter(draws: Draws): Sheet {
  const sheet = new Sheet(1240, 1400, draws.pick([SERIF, SANS]));
  sheet.text(
    620,
    130,
    { size: 48, bold: true },
    draws.pick(["The Ashmoor Courier", "Harbour Weekly", "Wexcombe Town News"]),
    "middle",
  );
  sheet.text(620, 180, { size: 23 }, `Issue ${draws.whole(20, 400)}, ${date(draws)}`, "middle");
  sheet.rule(90, 205, 1150, 205, 3);
  const heads = draws.some(
    ["Bridge reopens", "Around the town", "Sport and leisure", "From the council", "Letters", "What is on"],
    4,
  );
  const news = draws.some(NEWS, 14);
  [90, 650].forEach((x, column) => {
    let y = 270;
    for (let part = 0; part < 2; part++) {
      sheet.text(x, y, { size: 28, bold: true }, heads[column * 2 + part]!);
      y += 46;
      const text = news.splice(0, part === 0 ? 4 : 3).join(" ");
      for (const line of wrap(text, 34)) {
        sheet.text(x, y, { size: 24 }, line);
        y += 37;
      }
      y += 34;
    }
  });
  sheet.rule(90, 1300, 1150, 1300, 1);
  sheet.text(620, 1345, { size: 22 }, `Printed by ${draws.pick(COMPANIES)}`, "middle");
  return sheet;
}

export const KINDS = { invoice, letter, receipt, form, newsletter } as const;
export type Kind = keyof typeof KINDS;
