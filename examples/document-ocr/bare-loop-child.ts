/** A child of the bare loop: answers "ready" when the models are loaded, then one message per page. */
import { BarePages, type StageTimes } from "./bare-page.js";
import type { PageResult } from "./page-result.js";

export interface ToChild {
  readonly index: number;
  readonly file: string;
}

export type FromChild =
  | { readonly kind: "page"; readonly index: number; readonly result: PageResult; readonly times: StageTimes }
  | { readonly kind: "failed"; readonly index: number; readonly message: string };

const send = (message: FromChild | { kind: "ready" }): void => {
  process.send?.(message);
};

const pages = await BarePages.load(Number(process.argv[2]));

process.on("message", ({ index, file }: ToChild) => {
  pages.read(file).then(
    ({ result, times }) => send({ kind: "page", index, result, times }),
    (cause: unknown) =>
      send({ kind: "failed", index, message: cause instanceof Error ? cause.message : String(cause) }),
  );
});
send({ kind: "ready" });
