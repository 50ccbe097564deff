/** The vocabulary of the pages: companies, people, goods and sentences, all invented. */
export const COMPANIES = [
  "Larkfield Paper Supply Ltd.",
  "Brightwater Tools GmbH",
  "Ostrava Bearings s.r.o.",
  "Kestrel & Finch Printing",
  "Northgate Office Furniture",
  "Alder Creek Dairy Co.",
  "Marlowe Instruments Inc.",
  "Quillon Data Services",
  "Pinewood Garden Centre",
  "Halvorsen Freight AS",
  "Tamarind Street Bakery",
  "Redstone Electrical Works",
] as const;

export const PEOPLE = [
  "Ingrid Halloway",
  "Thomas Verbeek",
  "Priya Raman",
  "Samuel Okafor",
  "Helena Marquardt",
  "Jonas Lindqvist",
  "Beatrice Calloway",
  "Victor Dumont",
  "Nadia Kowalski",
  "Edwin Farrow",
] as const;

export const STREETS = [
  "14 Harbour Lane",
  "207 Mill Road",
  "33 Station Square",
  "9 Linden Avenue",
  "560 Quarry Street",
  "81 Orchard Hill",
  "18 Market Row",
  "402 Bridge Street",
] as const;

export const TOWNS = [
  "Wexcombe WX4 7QT",
  "Port Ellery PE2 9LK",
  "Grantham Vale GV1 3BD",
  "Ashmoor AM8 5RZ",
  "Kirkby Sound KS6 2HN",
  "Stonebury SB3 8FJ",
] as const;

export const GOODS = [
  ["Copy paper A4, 80 g", 4.35],
  ["Ring binder, blue", 2.9],
  ["Desk lamp with clamp", 38.5],
  ["Steel shelf, 5 boards", 129],
  ["Label printer ribbon", 11.75],
  ["USB cable, 2 m", 6.2],
  ["Office chair, grey", 189.9],
  ["Whiteboard marker set", 8.4],
  ["Packing tape, brown", 1.85],
  ["Torque wrench 20-100 Nm", 94],
  ["Ball bearing 6204", 7.15],
  ["Hydraulic oil, 5 l", 41.6],
  ["Safety gloves, size 9", 5.55],
  ["Site inspection, hours", 72],
  ["Delivery and handling", 19.5],
  ["Ink cartridge, black", 23.8],
] as const satisfies readonly (readonly [string, number])[];

export const GROCERIES = [
  ["WHOLE MILK 1L", 1.29],
  ["RYE BREAD", 2.45],
  ["TOMATOES 500G", 2.1],
  ["GREEN TEA", 3.35],
  ["CHEDDAR 250G", 3.99],
  ["APPLES 1KG", 2.79],
  ["PASTA FUSILLI", 1.15],
  ["OLIVE OIL", 7.49],
  ["DARK CHOCOLATE", 2.2],
  ["EGGS 10 PCS", 2.95],
  ["COFFEE BEANS", 8.9],
  ["DISH SOAP", 1.75],
  ["BUTTER 250G", 2.59],
  ["ORANGE JUICE", 2.25],
] as const satisfies readonly (readonly [string, number])[];

export const SENTENCES = [
  "Thank you for your enquiry about our storage systems.",
  "We are pleased to confirm the delivery of your order in the second week of May.",
  "The shipment left our warehouse on Monday and should reach you within four working days.",
  "Please check the goods on arrival and report any damage within 48 hours.",
  "Our technician will visit your site to measure the loading area.",
  "The revised quotation is enclosed with this letter.",
  "It remains valid until the end of next month.",
  "We noticed that two of the invoices from last year are still open.",
  "If you have already paid, please disregard this reminder.",
  "The annual meeting will take place in the large hall at 10:30.",
  "Coffee and a light lunch will be served to all members.",
  "A copy of the minutes can be collected at the front desk.",
  "The heating in building C will be off from 7 to 9 October.",
  "We apologise for any inconvenience this may cause.",
  "Your new contract number is printed at the top of this page.",
  "Kindly return one signed copy by post or by e-mail.",
  "The price includes installation, training and one year of support.",
  "Further discounts apply to orders above 2,500 units.",
  "Our offices are closed on public holidays.",
  "Should you have any questions, do not hesitate to call us.",
] as const;

export const NEWS = [
  "The harbour bridge was opened to traffic again on Friday after nine months of repairs.",
  "Engineers replaced more than 300 steel plates and painted the whole span.",
  "Local shops expect a busy summer season.",
  "The town library now lends tools, tents and musical instruments as well as books.",
  "Members may keep an item for up to two weeks.",
  "A record crowd of 4,820 people watched the rowing final on the lake.",
  "The home crew won by less than a boat length.",
  "Volunteers planted 650 young oak trees along the old railway line.",
  "The first walkers followed the path on Sunday morning.",
  "Ticket prices for the tram will stay the same until 2028.",
  "The council wants to add a night service on weekends.",
  "The school orchestra returns from its tour with two first prizes.",
  "A concert in the market hall is planned for 21 June.",
  "The weekly market moves to Station Square while the paving is renewed.",
  "Stall holders will find maps at the information point.",
  "Farmers report a good start to the year in spite of the late frost.",
] as const;

export const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
] as const;

/** 1234567 (cents) as "12,345.67". */
export function money(cents: number): string {
  const whole = Math.floor(cents / 100).toString();
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}.${(cents % 100).toString().padStart(2, "0")}`;
}

/** Breaks `text` into lines of at most `charsMax` characters, between words. */
export function wrap(text: string, charsMax: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > charsMax) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  if (line !== "") lines.push(line);
  return lines;
}
