/** Options that several commands have, and how the command line's texts become values. */
import { type Command, Option } from "commander";
import { MillraceError } from "../../base/errors.js";
import { sizeOf } from "../../topology/resources.js";

/** Far above what anyone runs; below what would only fill memory. */
const COUNT_MAX = 10_000;

/** What a command needs is loaded when it is called: help, and what is wrong with a command line, come at once. */
export const lazily =
  <Args extends unknown[]>(load: () => Promise<(...args: Args) => Promise<void>>) =>
  async (...args: Args): Promise<void> =>
    (await load())(...args);

const collect = (pair: string, all: Record<string, string>): Record<string, string> => {
  const at = pair.indexOf("=");
  if (at < 1)
    throw new MillraceError("MILL_CONFIG", `--param ${pair} is no parameter. Write --param name=value.`, { pair });
  return { ...all, [pair.slice(0, at)]: pair.slice(at + 1) };
};

export const param = (): Option =>
  new Option("-p, --param <name=value>", "parameter of the topology; may be repeated")
    .argParser(collect)
    .default({}, "none");

export const parallelism = (): Option =>
  new Option("--parallelism <n>", "parallel instances of operators that state none")
    .argParser(count("--parallelism"))
    .default(0, "the topology's own");

export const overwrite = (): Option => new Option("--overwrite", "replace what an earlier run wrote");
export const json = (): Option => new Option("--json", "as JSON");

/** @param flag as the user writes it, or the name of an argument */
export const count =
  (flag: string, least = 1) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= COUNT_MAX) return value;
    throw new MillraceError(
      "MILL_CONFIG",
      `${flag} ${text} is no count. Write a whole number from ${least} to ${COUNT_MAX}, or leave it out.`,
      { flag, text },
    );
  };

export const size = (flag: string) => (text: string) => sizeOf("millrace worker", flag, text);

/** For commands that meet the cluster at NATS and the store. */
export const cluster = (command: Command): Command =>
  command
    .option("--nats <url>", "NATS servers, separated by commas (MILLRACE_NATS; default nats://127.0.0.1:4222)")
    .option("--store <url>", "object store, s3://bucket/prefix (MILLRACE_STORE)")
    .option("--namespace <name>", "keeps clusters on one NATS apart (MILLRACE_NAMESPACE; default default)");

/** Of whoever serves the HTTP API. */
export const http = (command: Command, standard = "127.0.0.1:8080"): Command =>
  command
    .option("--http <host:port>", `where the HTTP API listens, or off (MILLRACE_HTTP; default ${standard})`)
    .option("--tokens <file>", "access tokens of the HTTP API (MILLRACE_TOKENS)")
    .option("--tls-cert <file>", "certificate of the HTTP API, PEM (MILLRACE_TLS_CERT)")
    .option("--tls-key <file>", "its key, PEM (MILLRACE_TLS_KEY)")
    .option("--cors <origins>", "origins whose pages may ask, separated by commas (MILLRACE_CORS; default none)")
    .option("--hosts <names>", "names of a server on loopback besides localhost (MILLRACE_HOSTS)")
    .option("--audit <file>", "append every change that was asked for, as JSON lines (MILLRACE_AUDIT)");

export const fromSavepoint = (command: Command): Command =>
  command.option("--savepoint <job/name>", "start from the state that the savepoint holds").addOption(allowUnmatched());

export const allowUnmatched = (): Option =>
  new Option("--allow-unmatched", "drop state of the savepoint whose operator the topology does not have");

/** For commands that ask the coordinator over its HTTP API. */
export const api = (command: Command): Command =>
  command.option(
    "--url <url>",
    "the coordinator's HTTP API (MILLRACE_URL; default http://127.0.0.1:8080); its token: MILLRACE_TOKEN",
  );
