/** Where in the page one is: the part of the address behind `#`, so that every place has a link and the server needs to know none. */
import { useEffect, useState } from "preact/hooks";

export const link = (...parts: readonly string[]): string => `#/${parts.map(encodeURIComponent).join("/")}`;

const here = (): string[] =>
  location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);

export function useRoute(): readonly string[] {
  const [route, setRoute] = useState(here);
  useEffect(() => {
    const follow = () => {
      setRoute((before) => {
        const now = here();
        // Another place, not another tab of the same: who walks along the tabs stays on them.
        if (now[0] !== before[0] || now[1] !== before[1]) document.querySelector<HTMLElement>("main")?.focus();
        return now;
      });
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}

export function go(...parts: readonly string[]): void {
  location.hash = link(...parts);
}
