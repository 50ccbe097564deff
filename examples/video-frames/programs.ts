/** The `ffmpeg` and `ffprobe` of the demo: those of the machine, or static ones of npm packages, which are old and for the demo's own videos only. */
import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { createRequire } from "node:module";

export interface Programs {
  readonly ffmpeg: string;
  readonly ffprobe: string;
}

export function findPrograms(): Programs {
  const names = { ffmpeg: "ffmpeg", ffprobe: "ffprobe" };
  const installed = Object.values(names).every((name) => spawnSync(name, ["-version"]).status === 0);
  return installed ? names : packaged();
}

function packaged(): Programs {
  const require = createRequire(import.meta.url);
  const { path: ffmpeg } = require("@ffmpeg-installer/ffmpeg") as { path: string };
  const { path: ffprobe } = require("@ffprobe-installer/ffprobe") as { path: string };
  chmodSync(ffprobe, 0o755); // its install script would, and scripts are not run
  return { ffmpeg, ffprobe };
}
