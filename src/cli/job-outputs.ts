/** What a coordinator process reads of jobs' outputs, with its own rights: the cluster's store and S3, on one machine also its files. */
import type { JobOutputs } from "../api/job-outputs.js";
import { MillraceError } from "../base/errors.js";
import type { Ports } from "../base/ports.js";
import { ContentReader } from "../storage/content.js";
import { outputsAt } from "./content.js";
import { outputUrl } from "./make-host.js";
import type { S3Settings } from "./settings.js";

export interface JobOutputsOptions {
  readonly s3: S3Settings;
  /** Where relative outputs are: a folder of this machine, or the cluster's store. */
  readonly root: string;
  /** The files of this machine are those that jobs read and write. */
  readonly files: boolean;
  readonly ports: Ports;
}

export function jobOutputs({ s3, root, files, ports }: JobOutputsOptions): JobOutputs {
  const placed = outputsAt(s3, files, ports);
  const below = outputsAt(s3, true, ports); // the cluster's store may be files
  const content = new ContentReader({ s3 }, ports); // without the web
  const inRoot = (url: string) => root !== "" && new URL(url).href.startsWith(`${root.replace(/\/$/, "")}/`);
  return {
    at(url) {
      const place = outputUrl(url, root);
      return place !== url ? below(place) : placed(place);
    },
    read(ref, signal) {
      const [scheme = ""] = ref.uri.split(":");
      const allowed = scheme === "s3" || scheme === "data" || (scheme === "file" && (files || inRoot(ref.uri)));
      if (allowed) return content.stream(ref, signal);
      const message = `the coordinator does not read ${scheme === "file" ? "files" : "addresses of the web"}, where the record says that its content is. Read it there.`;
      throw new MillraceError("MILL_REQUEST_FORBIDDEN", message);
    },
  };
}
