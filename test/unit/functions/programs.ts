/**
 * The `ffmpeg` and `ffprobe` of tests: static programs inside npm packages, so that no test depends on what a machine has. The `ffmpeg` is
 * of 2018: it is for files that the tests make themselves, and shows that old programs do.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(import.meta.url);

export interface MediaPrograms {
  readonly ffmpeg: string;
  readonly ffprobe: string;
}

function programs(): MediaPrograms {
  const { path: ffmpeg } = require("@ffmpeg-installer/ffmpeg") as { path: string };
  const { path: ffprobe } = require("@ffprobe-installer/ffprobe") as { path: string };
  chmodSync(ffprobe, 0o755); // its install script would; scripts are not run (docs/decisions/0002-install-scripts.md)
  return { ffmpeg, ffprobe };
}

/** Set MILLRACE_TEST_FFMPEG to a folder to run the tests with the programs in it. */
export const media: MediaPrograms =
  process.env.MILLRACE_TEST_FFMPEG === undefined
    ? programs()
    : {
        ffmpeg: join(process.env.MILLRACE_TEST_FFMPEG, "ffmpeg"),
        ffprobe: join(process.env.MILLRACE_TEST_FFMPEG, "ffprobe"),
      };

/** A private folder for the tests of one file, and how to make media in it. */
export class MediaFolder {
  readonly path = mkdtempSync(join(tmpdir(), "millrace-test-media-"));

  /** Runs ffmpeg to write `name`. @returns its path */
  make(name: string, ...args: string[]): string {
    const path = join(this.path, name);
    execFileSync(media.ffmpeg, ["-nostdin", "-v", "error", "-y", ...args, path], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
