/**
 * Built-in functions for pictures, sound, video and text: `import { decodeImage } from "millrace/functions"`.
 *
 * @packageDocumentation
 */

export type { FieldNote, FieldNotes } from "./functions/ai/answer-schema.js";
export type { Corners } from "./functions/ai/boxes.js";
export { type ClassifyOptions, classesType, classify } from "./functions/ai/classify.js";
export {
  type DetectOptions,
  type DetectorAnswer,
  type DetectTextOptions,
  detect,
  detectionsType,
} from "./functions/ai/detect.js";
export { type EmbeddingSettings, type EmbedImageOptions, embedImage } from "./functions/ai/embed-image.js";
export { type EmbedTextOptions, embedText, embedTextService } from "./functions/ai/embed-text.js";
export { type ExtractOptions, extract, extractService } from "./functions/ai/extract.js";
export type { ModelFile, ModelImage } from "./functions/ai/model-handler.js";
export { type OcrModels, type OcrOptions, ocr, ocrType } from "./functions/ai/ocr.js";
export type { ServiceSettings, ServiceStepOptions } from "./functions/ai/service-step.js";
export { type SimilarityOptions, type SimilarityToOptions, similarity } from "./functions/ai/similarity.js";
export { type Crop, cropQuad } from "./functions/ai/text-images/crops.js";
export { DetectionInput, findBoxes, type TextBox } from "./functions/ai/text-images/detection.js";
export { type RgbPixels, sizeWithin } from "./functions/ai/text-images/pixels.js";
export { plainText, type ReadBox, readingOrder, type TextLine } from "./functions/ai/text-images/reading-order.js";
export {
  decodeRows,
  parseKeys,
  type Recognised,
  RecognitionInput,
} from "./functions/ai/text-images/recognition.js";
export type { Quad } from "./functions/ai/text-images/rectangles.js";
export { textSettings } from "./functions/ai/text-images/settings.js";
export { widthBatches } from "./functions/ai/text-images/width-batches.js";
export { nearestType, type TopKOptions, topK, type VectorIndexOptions } from "./functions/ai/top-k.js";
export type { Metric, VectorColumn } from "./functions/ai/vectors.js";
export { type DecodeAudioOptions, decodeAudio } from "./functions/audio/decode-audio.js";
export { type ResampleAudioOptions, resampleAudio } from "./functions/audio/resample-audio.js";
export { segmentsType, type VoiceActivityOptions, voiceActivity } from "./functions/audio/voice-activity.js";
export { type WavLayout, wavLayout } from "./functions/audio/wav.js";
export { type ContentScheme, type FetchContentOptions, fetchContent } from "./functions/fetch-content.js";
export {
  type Box,
  type CropBoxesOptions,
  type CropBoxOptions,
  type CropImageOptions,
  cropImage,
} from "./functions/images/crop-image.js";
export { type DecodeImageOptions, type DecodeSettings, decodeImage } from "./functions/images/decode-image.js";
export { type EncodeImageOptions, encodeImage, type ImageFormat } from "./functions/images/encode-image.js";
export type { EncodedColumn, ImageColumn, ImageLimits, PixelsType } from "./functions/images/image-content.js";
export { hammingDistance, type ImageHashOptions, imageHash } from "./functions/images/image-hash.js";
export { type ImageDtype, type ImageToTensorOptions, imageToTensor } from "./functions/images/image-to-tensor.js";
export { type ResizeImageOptions, resizeImage } from "./functions/images/resize-image.js";
export type { ResizeSettings } from "./functions/images/resize-settings.js";
export type { MediaLimits } from "./functions/media-options.js";
export { type Accepted, type RowFunctionSpec, rowFunction } from "./functions/row-function.js";
export { type Step, type StepOptions, step } from "./functions/step.js";
export { type ChunkTextOptions, type CountTokensOptions, chunkText, countTokens } from "./functions/text/chunk-text.js";
export type { TokenizerSource } from "./functions/text/tokenizer.js";
export { type FramePick, type VideoFramesOptions, videoFrames } from "./functions/video/video-frames.js";
export { type VideoMetadataOptions, videoMetadata, videoMetadataType } from "./functions/video/video-metadata.js";
