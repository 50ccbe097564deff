/** Content of a record: a picture, a sound, a film or a text, fetched with the access token, which an address in an element would not carry. */
import { useEffect, useState } from "preact/hooks";
import { Refused, request } from "../api.js";
import { bytes } from "../format.js";
import { Trouble } from "./basics.js";

/** More is fetched only when it is asked for. */
const AT_ONCE_BYTES = 16 * 1024 * 1024;
const TEXT_CHARS = 20_000;

interface Loaded {
  readonly url: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly text?: string;
}

/** @param name for who cannot see it @param sizeBytes -1: not known */
export function Content({ path, name, sizeBytes }: { path: string; name: string; sizeBytes: number }) {
  const [wanted, setWanted] = useState(sizeBytes >= 0 && sizeBytes <= AT_ONCE_BYTES);
  const [loaded, setLoaded] = useState<Loaded>();
  const [error, setError] = useState<Refused>();
  useEffect(() => {
    if (!wanted) return;
    const stop = new AbortController();
    let url = "";
    const load = async () => {
      try {
        const blob = await (await request("GET", path, undefined, stop.signal)).blob();
        const text = blob.type.startsWith("text/plain") ? await blob.slice(0, TEXT_CHARS).text() : undefined;
        if (stop.signal.aborted) return;
        url = URL.createObjectURL(blob);
        setLoaded({ url, mediaType: blob.type, sizeBytes: blob.size, ...(text === undefined ? {} : { text }) });
      } catch (cause) {
        if (!stop.signal.aborted) setError(cause instanceof Refused ? cause : new Refused(0, "", String(cause)));
      }
    };
    void load();
    return () => {
      stop.abort();
      if (url !== "") URL.revokeObjectURL(url);
    };
  }, [path, wanted]);
  if (error !== undefined) return <Trouble error={error} />;
  if (!wanted)
    return (
      <button type="button" class="small" onClick={() => setWanted(true)}>
        Load {sizeBytes < 0 ? "it" : bytes(sizeBytes)}
      </button>
    );
  if (loaded === undefined) return <p class="quiet">Loading…</p>;
  return (
    <>
      <Shown loaded={loaded} name={name} />
      <a href={loaded.url} download={name}>
        Save ({bytes(loaded.sizeBytes)})
      </a>
    </>
  );
}

function Shown({ loaded: { url, mediaType, text, sizeBytes }, name }: { loaded: Loaded; name: string }) {
  if (mediaType.startsWith("image/")) return <img src={url} alt={`Content of ${name}`} />;
  if (/^(audio|video)\//.test(mediaType)) {
    const Player = mediaType.startsWith("audio/") ? "audio" : "video";
    return <Player src={url} controls aria-label={`Content of ${name}`} />;
  }
  if (text === undefined) return null;
  return (
    <>
      <textarea readOnly rows={10} value={text} aria-label={`Content of ${name}`} />
      {sizeBytes > TEXT_CHARS && <p class="quiet">Its beginning.</p>}
    </>
  );
}
