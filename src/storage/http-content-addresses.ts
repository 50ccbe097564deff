/**
 * Which machines content may be fetched from: those of the public internet, unless the user says otherwise.
 *
 * Invariants:
 *   A1  A connection is made only to an address that was checked: the one that is checked is the one that is connected to. What a name
 *       meant a moment before, or for somebody else, does not count.
 *   A2  Of the addresses of a name each one is checked. One that is not allowed refuses the name.
 *
 * What an address looked like in the URL does not matter: `URL` turns 0x7f.1, 017700000001 and 2130706433 into 127.0.0.1, and knows no zones.
 *
 * Source: IANA registries of special-purpose addresses of IPv4 and IPv6 (RFC 6890), as of 2025.
 */
import { lookup as systemLookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { MillraceError } from "../base/errors.js";

/** Addresses of a name, as `dns.lookup` gives them. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}
export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>;

const NOT_PUBLIC_V4: readonly [string, number][] = [
  ["0.0.0.0", 8], // this host
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // behind a provider's NAT; metadata of Alibaba Cloud
  ["127.0.0.0", 8], // loopback
  ["168.63.129.16", 32], // public by its number, yet the host of a machine at Azure
  ["169.254.0.0", 16], // link-local; metadata of AWS, Azure, Google
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocols; metadata of Oracle
  ["192.0.2.0", 24], // examples
  ["192.88.99.0", 24], // relays of 6to4
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // examples
  ["203.0.113.0", 24], // examples
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved, broadcast
];

/** The only part of IPv6 that is handed out: loopback, link-local, unique-local, multicast, IPv4-mapped and NAT64 lie outside. */
const PUBLIC_V6: readonly [string, number][] = [["2000::", 3]];
const NOT_PUBLIC_V6: readonly [string, number][] = [
  ["2001::", 23], // protocols; Teredo, which holds an IPv4 address
  ["2001:db8::", 32], // examples
  ["2002::", 16], // 6to4, which holds an IPv4 address
  ["3fff::", 20], // examples
];

function blockList(type: "ipv4" | "ipv6", subnets: readonly [string, number][]): BlockList {
  const list = new BlockList();
  for (const [net, prefix] of subnets) list.addSubnet(net, prefix, type);
  return list;
}
const notPublicV4 = blockList("ipv4", NOT_PUBLIC_V4);
const publicV6 = blockList("ipv6", PUBLIC_V6);
const notPublicV6 = blockList("ipv6", NOT_PUBLIC_V6);

/** Whether it is of the public internet. What is no address is not. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublicV4.check(address, "ipv4");
    case 6:
      return publicV6.check(plain(address), "ipv6") && !notPublicV6.check(plain(address), "ipv6");
    default:
      return false;
  }
}

/** Without the zone, which says by which network card. */
function plain(address: string): string {
  return address.replace(/%.*$/, "");
}

function typeOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}

/** Whether an address may be connected to. */
export type AddressRule = (address: string) => boolean;

/**
 * @param others all others are allowed, too, or those in these ranges
 * @throws {MillraceError} `MILL_CONFIG`
 */
export function addressRule(others: boolean | readonly string[]): AddressRule {
  if (typeof others === "boolean") return others ? () => true : isPublicAddress;
  const list = new BlockList();
  for (const range of others) addRange(list, range);
  return (address) => isPublicAddress(address) || (isIP(address) !== 0 && list.check(plain(address), typeOf(address)));
}

function addRange(list: BlockList, range: string): void {
  const [, net = "", bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(range) ?? [];
  const most = isIP(net) === 4 ? 32 : 128;
  if (isIP(net) === 0 || net.includes("%") || Number(bits ?? most) > most) {
    throw new MillraceError(
      "MILL_CONFIG",
      `allowPrivateAddresses: ${JSON.stringify(range)} is no range of addresses. Give such as "10.1.0.0/16" or "fd00::/8".`,
    );
  }
  list.addSubnet(net, Number(bits ?? most), typeOf(net));
}

/** @throws {MillraceError} `MILL_CONTENT_REFUSED` */
export function requireAllowed(host: string, address: string, allows: AddressRule): void {
  if (allows(address)) return;
  throw new MillraceError(
    "MILL_CONTENT_REFUSED",
    `${host === address ? host : `${host} is ${address}, which`} is not an address of the public internet, so nothing is fetched from it. Set allowPrivateAddresses if the job is to read from your own network.`,
    { host, address },
  );
}

/** For `net.connect`: resolves a name and hands its addresses on when all of them are allowed (A1, A2). */
export function guardedLookup(resolve: Resolve, allows: AddressRule): LookupFunction {
  return (host, options, done) => {
    resolve(host).then(
      (found) => {
        try {
          for (const { address } of found) requireAllowed(host, address, allows);
        } catch (error) {
          return done(error as Error, "", 0);
        }
        const wanted = found.filter(({ family }) => !options.family || options.family === family);
        if (options.all) return done(null, [...wanted]);
        const first = wanted[0];
        if (first === undefined) return done(noAddress(host), "", 0);
        done(null, first.address, first.family);
      },
      (error: Error) => done(error as NodeJS.ErrnoException, "", 0),
    );
  };
}

/** As the machine resolves names for everybody else. */
export const systemResolve: Resolve = (host) =>
  new Promise((resolve, reject) => {
    systemLookup(host, { all: true, verbatim: true }, (error, found) => (error ? reject(error) : resolve(found)));
  });

function noAddress(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} has no address`), { code: "ENOTFOUND" });
}

/**
 * Which hosts may be named: `example.com`, `*.example.com` (its subdomains, not itself), `example.com:8443`, `[2001:db8::1]`.
 * Without a port any port is meant.
 */
export function hostMatches(url: URL, pattern: string): boolean {
  const { host, port } = splitPattern(pattern);
  const defaultPort = url.protocol === "https:" ? "443" : "80";
  if (port !== undefined && port !== (url.port || defaultPort)) return false;
  const name = url.hostname.replace(/\.$/, "");
  return host.startsWith("*.") ? name.endsWith(host.slice(1)) && name.length > host.length - 1 : name === host;
}

/** Whether it can be a pattern at all. */
export function isHostPattern(pattern: string): boolean {
  const { host } = splitPattern(pattern);
  return /^(\*\.)?[\p{L}\p{N}_-]+(\.[\p{L}\p{N}_-]+)*$/u.test(host) || /^\[[0-9a-f:.]+\]$/.test(host);
}

function splitPattern(pattern: string): { readonly host: string; readonly port: string | undefined } {
  const [, host = "", port] = /^(.*?)(?::(\d+))?$/s.exec(pattern.toLowerCase()) ?? [];
  return { host, port };
}
