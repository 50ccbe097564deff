/** Pipes between a child and its parent, beside the three of every process and the one for messages. */
import type { Log, LogFields } from "../base/ports.js";
import { type LogLevel, openLog } from "./logging.js";

/** It joins an instance to its parent's bus. */
export const LINK_FD = 4;
/** For the log. Of its own, so that what libraries print is not taken for a line of ours. */
export const LOG_FD = 5;

/** The log of a child: its lines come out at its parent's standard error. */
export function logOfChild(level: LogLevel, fields: LogFields): Log {
  return openLog(level, fields, LOG_FD);
}
