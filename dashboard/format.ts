/** Numbers and times for people. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const count = (value: number): string => (value < 100_000 ? whole.format(value) : short.format(value));
export const rate = (perSecond: number): string => `${perSecond < 10 ? fine.format(perSecond) : count(perSecond)}/s`;
/** Of a time that is 0 where there was none. */
export const measured = (ms: number): string => (ms === 0 ? "–" : duration(ms));
export const several = (value: number, one: string, more = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : more}`;
export const percent = (share: number): string => `${Math.round(share * 100)} %`;

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  return `${fine.format(value / 1024 ** power)} ${units[power]}`;
}

export function duration(ms: number): string {
  if (ms < 1) return ms === 0 ? "0" : "< 1 ms";
  if (ms < 1_000) return `${whole.format(ms)} ms`;
  if (ms < 60_000) return `${fine.format(ms / 1_000)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1_000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export const clock = (ms: number): string => (ms === 0 ? "–" : new Date(ms).toLocaleTimeString());
export const moment = (ms: number): string => (ms === 0 ? "–" : new Date(ms).toLocaleString());
/** In whole seconds: it is looked at while it grows. */
export const ago = (ms: number): string =>
  ms === 0 ? "never" : `${duration(Math.max(Math.round((Date.now() - ms) / 1_000), 1) * 1_000)} ago`;
