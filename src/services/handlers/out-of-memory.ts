/**
 * Tells from a runtime's words that its memory was too small for a call. Runtimes have no code for it: these are the words
 * of onnxruntime's arena, CUDA, PyTorch, TensorFlow, C++ and V8.
 */
import { MillraceError } from "../../base/errors.js";

const WORDS =
  /out of memory|bfc_arena|AllocateRawInternal|failed to allocate memory|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc|Array buffer allocation failed|OOM when allocating/i;

export function saysOutOfMemory(text: string): boolean {
  return WORDS.test(text);
}

/** `MILL_OUT_OF_MEMORY`, upon which the instance makes the call again in halves. */
export function outOfMemory(what: string, text: string, service: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_OUT_OF_MEMORY",
    `${what} ran out of memory: ${text}. Make the batches smaller (batch.rowsMax, or batch.cost where rows differ in size), or give it more memory.`,
    { service },
    { cause },
  );
}
