/**
 * What a topology file imports.
 *
 * @packageDocumentation
 */
export { type ErrorCode, type ErrorFacts, MillraceError } from "./base/errors.js";
export { arrow } from "./connectors/arrow-file.js";
export { type FileColumns, type FilesOptions, files } from "./connectors/files.js";
export { jsonl } from "./connectors/jsonl.js";
export { parquet } from "./connectors/parquet.js";
export type { ChatMessage, ChatSpec } from "./services/handlers/chat.js";
export { type CommandSpec, command } from "./services/handlers/command.js";
export type { EmbeddingsSpec } from "./services/handlers/embeddings.js";
export type { EndpointSettings } from "./services/handlers/endpoint.js";
export { type HandlerParts, handler } from "./services/handlers/handler.js";
export {
  type ModelInput,
  type OnnxCall,
  type OnnxModel,
  type OnnxSession,
  type OnnxSpec,
  onnx,
} from "./services/handlers/onnx.js";
export { type OpenInferenceSpec, openInference } from "./services/handlers/open-inference.js";
export { openai } from "./services/handlers/openai.js";
export type { Datatype, Tensor } from "./services/handlers/tensor.js";
export type { TensorOptions } from "./services/handlers/tensor-columns.js";
export type { Applied, ColumnFunction, RefusedRow } from "./topology/column-function.js";
export type {
  ContentAccess,
  OutputFolder,
  PositionedBatch,
  Sink,
  SinkContext,
  SinkWriter,
  Source,
  SourceContext,
  Split,
  SplitProgress,
} from "./topology/endpoints.js";
export type { BadRecordPolicy, KeyState } from "./topology/nodes.js";
export type { GrantedGpu, OperatorContext } from "./topology/operator-context.js";
export type { GpuNeed, Resources, Size } from "./topology/resources.js";
export {
  type Batching,
  type CallContext,
  type Handler,
  type HandlerContext,
  type LoadedHandler,
  type Service,
  type ServiceSpec,
  service,
} from "./topology/service.js";
export {
  type DurableOptions,
  type InferOptions,
  type KeyedStream,
  type Merged,
  type OperatorOptions,
  type Params,
  type ReduceOptions,
  type RowsOptions,
  type Stream,
  type TopologyBuilder,
  type TopologyDefinition,
  type TopologyOptions,
  topology,
} from "./topology/topology.js";
export { batchFromColumns, batchFromRows, columnOf, rowsOf } from "./types/batches.js";
export {
  type ArrowColumns,
  arrowSchema,
  type Columns,
  type ColumnType,
  type ObjectRef,
  type Row,
  t,
} from "./types/columns.js";
export {
  type Content,
  contentColumns,
  inline,
  isContentType,
  type PixelDtype,
  type Pixels,
  type SampleDtype,
  type Samples,
} from "./types/content-types.js";
export type { TensorDtype, VariableTensor } from "./types/tensor-types.js";
