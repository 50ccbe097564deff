/** What a process of a job reads content with, and keeps it in. */
import type { JobId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import { ContentReader } from "../storage/content.js";
import { ContentCache } from "../storage/content-cache.js";
import { ContentStore } from "../storage/content-store.js";
import { HttpContent } from "../storage/http-content.js";
import type { ObjectStore } from "../storage/object-store.js";
import { openStore } from "../storage/open-store.js";
import type { ContentSettings, S3Settings } from "./settings.js";

export interface ContentOptions {
  readonly settings: ContentSettings;
  readonly s3: S3Settings;
  readonly job: JobId;
  readonly ports: Ports;
}

export function openContent({ settings, s3, job, ports }: ContentOptions): ContentReader {
  const { store, folder, folderBytesMax } = settings;
  return new ContentReader({ s3 }, ports, {
    http: new HttpContent({ ports }),
    owned: new ContentStore({ store: openStore(store, { s3 }, ports), job, clock: ports.clock }),
    cache: folderBytesMax === 0 ? undefined : new ContentCache({ folder, bytesMax: folderBytesMax, ports }),
  });
}

/**
 * Where sinks publish, for whoever has to know what is still there.
 * @param files whether the files of this machine are those that the job wrote
 */
export function outputsAt(s3: S3Settings, files: boolean, ports: Ports): (url: string) => ObjectStore | undefined {
  const opened = new Map<string, ObjectStore>();
  return (url) => {
    if (!url.startsWith("s3:") && !files) return undefined;
    let store = opened.get(url);
    if (store === undefined) {
      store = openStore(url, { s3 }, ports);
      opened.set(url, store);
    }
    return store;
  };
}
