/** The runtime's log on standard error, through pino: JSON lines for machines, nothing above `--log-level`. */
import pino from "pino";
import { MillraceError } from "../base/errors.js";
import type { Log, LogFields } from "../base/ports.js";
import { withoutSecrets } from "../base/secrets.js";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const STANDARD_ERROR = 2;

/** @param fields of every line @param fd where they go to */
export function openLog(level: LogLevel, fields: LogFields = {}, fd: number = STANDARD_ERROR): Log {
  const lines = pino.destination({ fd, sync: true });
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
      formatters: { level: (label) => ({ level: label }), log: withTraceIds },
    },
    { write: (line) => lines.write(withoutSecrets(line)) },
  );
  return wrap(logger.child(fields));
}

/** A field `trace`, a `traceparent`, as log stores know it: by the names that OpenTelemetry gives to logs that are no OTLP. */
function withTraceIds(fields: Record<string, unknown>): Record<string, unknown> {
  if (!("trace" in fields)) return fields;
  const { trace, ...others } = fields;
  const [, traceId, spanId, flags] = typeof trace === "string" ? trace.split("-") : [];
  if (flags === undefined) return others;
  return { ...others, trace_id: traceId, span_id: spanId, trace_flags: flags };
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(withTraceIds({ ...fields }))),
  };
}
