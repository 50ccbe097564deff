/** What is asked for again and again while it is looked at, and no more while the tab is hidden. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "./api.js";

export interface Polled<T> {
  readonly value: T | undefined;
  readonly error: Refused | undefined;
  /** Asks at once, as after a change. */
  refresh(): void;
}

/** @param key of what `ask` asks for: another key begins anew @param everyMs between two questions */
export function usePolled<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, everyMs = 1_000): Polled<T> {
  const [state, setState] = useState<{ key: string; value?: T; error?: Refused }>({ key });
  const [turn, setTurn] = useState(0);
  const asking = useRef(ask);
  asking.current = ask;

  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      if (!document.hidden) {
        try {
          const value = await asking.current(stop.signal);
          if (!stop.signal.aborted) setState({ key, value });
        } catch (cause) {
          if (stop.signal.aborted) return;
          const error = cause instanceof Refused ? cause : new Refused(0, "", String(cause));
          setState((before) =>
            before.key === key && before.value !== undefined ? { key, value: before.value, error } : { key, error },
          );
        }
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void look(), everyMs);
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs, turn]);
  const own = state.key === key ? state : undefined;
  return { value: own?.value, error: own?.error, refresh: () => setTurn((before) => before + 1) };
}
