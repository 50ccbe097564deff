/**
 * Steps for `stream.pipe` that call a model: a service, and `infer` around it. What the service promises (instances, batches, retries, fallback) is the
 * user's to say, and is passed through as it is.
 */
import type { EndpointSettings } from "../../services/handlers/endpoint.js";
import type { Service, ServiceSpec } from "../../topology/service.js";
import type { InferOptions, Stream } from "../../topology/topology.js";
import type { Columns, ColumnType } from "../../types/columns.js";
import { type Accepted, checkColumn } from "../row-function.js";
import type { Step } from "../step.js";

/** All that a service may be told (docs/services.md) but its columns and its handler, which the function gives. */
export type ServiceSettings<I extends Columns, O extends Columns> = Partial<
  Omit<ServiceSpec<I, O>, "input" | "output" | "handler">
>;

/** Options that the functions with a model have in common: they make a service of their own. */
export interface ServiceStepOptions<I extends Columns, O extends Columns> extends InferOptions {
  /** Default: the function's name. Two uses in one topology need two names. */
  readonly serviceName?: string;
  /** How many instances, how large a batch, what after a failure: the settings of a service. */
  readonly service?: ServiceSettings<I, O>;
}

/** Where the server is, without the function's own options. */
export function endpointOf(options: EndpointSettings): EndpointSettings {
  const { url, apiKeyEnv, apiKeyHeader, headers, idleTimeoutMs, answerBytesMax } = options;
  return {
    url,
    ...(apiKeyEnv !== undefined && { apiKeyEnv }),
    ...(apiKeyHeader !== undefined && { apiKeyHeader }),
    ...(headers !== undefined && { headers }),
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    ...(answerBytesMax !== undefined && { answerBytesMax }),
  };
}

/** @param make the service for a column of the type that the stream has; asked once for each type */
export function serviceStep<In extends Columns, Out extends Columns>(
  name: string,
  from: string,
  accepted: Accepted,
  options: InferOptions,
  make: (type: ColumnType) => Service<Columns, Out>,
): Step<In, Out> {
  const made = new Map<string, Service<Columns, Out>>();
  const { ordered } = options;
  return (stream) => {
    const given = stream as unknown as Stream<Columns>;
    const id = given.builder.nameFor(name, options);
    checkColumn(id, name, given.columns, from, accepted);
    const type = given.columns[from]!;
    const service = made.get(type.name) ?? make(type);
    made.set(type.name, service);
    return given.infer(service as never, { id, ...(ordered !== undefined && { ordered }) }) as never;
  };
}
