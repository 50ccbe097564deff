/** What a bad scanner does to a page: grain, blur, little contrast, uneven light, and JPEG blocks. */
import sharp from "sharp";
import type { Draws } from "./draws.js";

export interface Damage {
  /** Standard deviation of the grain, in grey levels. */
  readonly grain: number;
  readonly blurSigma: number;
  /** Share of the contrast that is left, in (0, 1]. */
  readonly contrast: number;
  /** Grey levels by which the darkest corner is darker. */
  readonly shade: number;
  readonly jpegQuality: number;
}

export function drawDamage(draws: Draws): Damage {
  return {
    grain: draws.between(6, 19),
    blurSigma: draws.between(0.6, 1.45),
    contrast: draws.between(0.45, 0.85),
    shade: draws.between(10, 50),
    jpegQuality: draws.whole(22, 45),
  };
}

/** `svg` as a grey JPEG that looks scanned. */
export async function damage(svg: string, how: Damage, draws: Draws): Promise<Buffer> {
  const { data, info } = await sharp(Buffer.from(svg))
    .flatten({ background: "#ffffff" })
    .greyscale()
    .blur(how.blurSigma)
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const light = 128 + (data[at]! - 128) * how.contrast + 20 * (1 - how.contrast);
      const shadow = how.shade * ((x / width) * 0.6 + (y / height) * 0.4);
      data[at] = Math.max(0, Math.min(255, Math.round(light - shadow + how.grain * draws.grain())));
    }
  }
  return sharp(data, { raw: { width, height, channels: 1 } })
    .jpeg({ quality: how.jpegQuality, mozjpeg: true })
    .toBuffer();
}
