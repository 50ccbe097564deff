/**
 * Built-in functions for pictures, sound, video and text: `import { decodeImage } from "millrace/functions"`.
 *
 * @packageDocumentation
 */

export { type DecodeAudioOptions, decodeAudio } from "./functions/audio/decode-audio.js";
export { type ResampleAudioOptions, resampleAudio } from "./functions/audio/resample-audio.js";
export { segmentsType, type VoiceActivityOptions, voiceActivity } from "./functions/audio/voice-activity.js";
export { type WavLayout, wavLayout } from "./functions/audio/wav.js";
export type { MediaLimits } from "./functions/media-options.js";
export { type Accepted, type RowFunctionSpec, rowFunction } from "./functions/row-function.js";
export { type ChunkTextOptions, type CountTokensOptions, chunkText, countTokens } from "./functions/text/chunk-text.js";
export type { TokenizerSource } from "./functions/text/tokenizer.js";
export { type FramePick, type VideoFramesOptions, videoFrames } from "./functions/video/video-frames.js";
export { type VideoMetadataOptions, videoMetadata, videoMetadataType } from "./functions/video/video-metadata.js";
