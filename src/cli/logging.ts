/** The runtime's log on standard error, through pino: JSON lines for machines, nothing above `--log-level`. */
import pino from "pino";
import { MillraceError } from "../base/errors.js";
import type { Log } from "../base/ports.js";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function openLog(level: LogLevel): Log {
  const logger = pino(
    {
      level,
      base: null,
      serializers: {
        error: (error: unknown) =>
          MillraceError.is(error)
            ? { code: error.code, message: error.message, ...error.facts }
            : pino.stdSerializers.err(error as Error),
      },
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 2, sync: true }),
  );
  return wrap(logger);
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}
