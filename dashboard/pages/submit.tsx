/** Submitting a topology file from the page. */
import { useRef, useState } from "preact/hooks";
import { post } from "../api.js";
import { act } from "../parts/dialogs.js";
import { go } from "../route.js";

export function SubmitButton({ onDone }: { onDone(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (form: HTMLFormElement) => {
    const data = new FormData(form);
    const file = data.get("file") as File;
    const params = Object.fromEntries(
      String(data.get("params"))
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line.includes("="))
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    setBusy(true);
    await act("The job was submitted.", async () => {
      const body = { topology: await file.text(), params, overwrite: data.get("overwrite") !== null };
      const { job } = (await (await post("/v1/jobs", body)).json()) as { job: string };
      dialog.current?.close();
      onDone();
      go("jobs", job);
    });
    setBusy(false);
  };
  return (
    <>
      <button type="button" class="main" onClick={() => dialog.current?.showModal()}>
        Submit a topology
      </button>
      <dialog ref={dialog} aria-labelledby="submit-title">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void submit(event.currentTarget);
          }}
        >
          <h2 id="submit-title">Submit a topology</h2>
          <p class="quiet">
            A TypeScript file whose default export is a topology. It may import packages that the cluster has installed.
          </p>
          <label>
            File
            <input name="file" type="file" accept=".ts,.mts,.js,.mjs" required />
          </label>
          <label>
            Parameters, one <code>name=value</code> a line
            <textarea name="params" rows={3} />
          </label>
          <label class="check">
            <input name="overwrite" type="checkbox" /> Replace what an earlier run wrote
          </label>
          <div class="actions">
            <button type="button" onClick={() => dialog.current?.close()}>
              Leave it
            </button>
            <button type="submit" class="main" disabled={busy}>
              Submit
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}
