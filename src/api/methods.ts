/** Which methods a path takes: what is asked for with another is told so (405), with those that there are. */
export interface Declared {
  readonly method: string;
  readonly url: string;
}

/** @param path without its query @returns empty: there is nothing at it */
export function methodsAt(routes: readonly Declared[], path: string): string[] {
  const parts = path.split("/");
  const fits = (url: string) => {
    const own = url.split("/");
    return (
      own.length === parts.length && own.every((part, i) => part === parts[i] || (part[0] === ":" && parts[i] !== ""))
    );
  };
  return [...new Set(routes.filter(({ url }) => !url.includes("*") && fits(url)).map(({ method }) => method))].sort();
}
