/**
 * Built-in functions for pictures, sound, video and text: `import { decodeImage } from "millrace/functions"`.
 *
 * @packageDocumentation
 */
export { type Accepted, type RowFunctionSpec, rowFunction } from "./functions/row-function.js";
