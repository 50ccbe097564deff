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
      formatters: { level: (label) => ({ level: label }), log: withTraceIds },
    },
    pino.destination({ fd: 2, sync: true }),
  );
  return wrap(logger);
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
