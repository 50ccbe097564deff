/** Every number of reading text in images, in one place: what the models were trained with, and what has shown itself best with them. */
export const textSettings = {
  /** Longest side of the image that the detector sees, and what its sides are multiples of. */
  detectionSide: 640,
  detectionMultiple: 32,
  /** A pixel of the probability map at or above it belongs to text. */
  detectionThreshold: 0.3,
  /** Mean probability inside a box below which the box is dropped. */
  detectionScoreMin: 0.6,
  /** How far a box grows: distance = area * ratio / perimeter. The detector is trained on shrunken text. */
  detectionUnclipRatio: 1.5,
  /** Boxes whose shorter side is below it (pixels of the map, before growing) are dropped. */
  detectionSideMin: 3,

  /** Height of a crop; the recogniser is trained for 48. */
  cropHeight: 48,
  /** Crop widths are rounded up to a multiple of it and padded, each crop by itself. */
  cropBucket: 64,
  cropWidthMax: 1_920,
  /** Crops of one bucket that go to the recogniser in one call. More does not pay on a CPU. */
  recognitionRows: 4,
  /** Probability at which a space is read although "nothing here" is likelier: the model is trained on Chinese and shy of spaces. */
  spaceProbabilityMin: 0.03,
} as const;
