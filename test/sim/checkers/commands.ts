/**
 * Who obeys whom, seen on the wire.
 *
 *   CMD1  A process that has acknowledged a command of term t acknowledges none of a lower term.
 *   CMD2  A host that was sent a deployment of attempt a of a region, and has acknowledged it, acknowledges no command of a
 *         lower attempt of that region that was sent later.
 *   CMD3  The attempt that a host reports of an actor never goes down.
 */
import { acknowledgementFrame, type HostReport } from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { classOfSubject, type SimMessage } from "../sim-network.js";
import type { CheckedRun, Checker } from "./checker.js";

interface Asked {
  readonly kind: string;
  readonly term: bigint;
  readonly region: string;
  readonly attempt: number;
  /** Highest attempt that its receiver had obeyed when it was sent, and highest term. */
  readonly after: Obeyed;
}

interface Obeyed {
  readonly term: bigint;
  readonly attempt: number;
}

const NOTHING: Obeyed = { term: 0n, attempt: 0 };

export function commandChecker({ world }: CheckedRun): Checker {
  const asked = new Map<string, Asked & { readonly subject: string }>();
  const obeyed = new Map<string, Obeyed>();
  const reported = new Map<string, number>();

  return {
    onMessage(message, from) {
      const what = classOfSubject(message.subject);
      if (what === "command") onCommand(message);
      else if (asked.has(message.subject)) onAcknowledgement(message, from.name);
      else if (what === "report") onReport(message, from.name);
    },
  };

  function onCommand({ subject, payload, replyTo }: SimMessage): void {
    if (replyTo === undefined) return;
    const { kind, header } = decodeFrame(payload);
    const { term = 0n, attempt = 0, region = "" } = header as Partial<Asked>;
    const after = {
      term: obeyed.get(subject)?.term ?? 0n,
      attempt: obeyed.get(`${subject} ${region}`)?.attempt ?? 0,
    };
    asked.set(replyTo, { kind, term, attempt, region, after, subject });
  }

  function onAcknowledgement({ subject: inbox, payload }: SimMessage, who: string): void {
    const { kind, term, attempt, region, after, subject } = asked.get(inbox)!;
    if (acknowledgementFrame.decode(payload).header.code !== "") return;
    if (term < after.term) {
      world.found("commands (CMD1)", `${who} to refuse a ${kind} of term ${term} after ${after.term}`, "obeyed");
    }
    if (kind !== "stop-region" && attempt < after.attempt && region !== "") {
      world.found(
        "commands (CMD2)",
        `${who} to refuse a ${kind} of attempt ${attempt} after ${after.attempt}`,
        "obeyed",
      );
    }
    raise(subject, { term, attempt: 0 });
    if (kind === "deploy") raise(`${subject} ${region}`, { term, attempt });
  }

  function raise(key: string, to: Obeyed): void {
    const before = obeyed.get(key) ?? NOTHING;
    obeyed.set(key, {
      term: to.term > before.term ? to.term : before.term,
      attempt: Math.max(to.attempt, before.attempt),
    });
  }

  function onReport({ payload }: SimMessage, who: string): void {
    const { kind, header } = decodeFrame(payload);
    if (kind !== "host-report") return;
    for (const { actor, attempt } of (header as HostReport).actors) {
      const before = reported.get(`${who} ${actor}`) ?? 0;
      if (attempt < before) {
        world.found("commands (CMD3)", `${actor} on ${who} to stay at attempt ${before} or above`, `${attempt}`);
      }
      reported.set(`${who} ${actor}`, attempt);
    }
  }
}
