/** Asking before something is changed, and saying what came of it. One at a time, from anywhere in the page. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "../api.js";

interface Question {
  readonly title: string;
  readonly text: ComponentChildren;
  /** What the button says. */
  readonly verb: string;
  readonly harm?: boolean;
  readonly act: () => Promise<unknown>;
  /** Said when it was done. */
  readonly done: string;
}

let put: (question: Question | undefined) => void = () => {};
let say: (words: { text: string; bad: boolean }) => void = () => {};

/** Asks first. */
export const ask = (question: Question): void => put(question);

/** Asks first, and shows that harm may come of it. */
export function HarmButton(props: {
  readonly question: Omit<Question, "harm">;
  readonly small?: boolean;
  readonly disabled?: boolean;
  readonly children: ComponentChildren;
}) {
  const { question, small = false, disabled = false, children } = props;
  return (
    <button
      type="button"
      class={small ? "small harm" : "harm"}
      disabled={disabled}
      onClick={() => ask({ ...question, harm: true })}
    >
      {children}
    </button>
  );
}

/** Acts at once: nothing is lost by it. */
export async function act(done: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    say({ text: done, bad: false });
  } catch (cause) {
    say({ text: cause instanceof Refused ? cause.message : String(cause), bad: true });
  }
}

export function Dialogs() {
  const [question, setQuestion] = useState<Question>();
  const [words, setWords] = useState<{ text: string; bad: boolean }>();
  const [busy, setBusy] = useState(false);
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = useRef<Question | undefined>(undefined);
  put = setQuestion;
  say = setWords;
  useEffect(() => {
    shown.current = question;
    if (question !== undefined) dialog.current?.showModal();
    else dialog.current?.close();
  }, [question]);
  // The browser closes it, too. It says so late: by then there may be another question.
  const closed = () => {
    if (!dialog.current?.open) setQuestion((now) => (now === shown.current ? undefined : now));
  };
  useEffect(() => {
    if (words === undefined) return;
    const timer = setTimeout(() => setWords(undefined), words.bad ? 15_000 : 5_000);
    return () => clearTimeout(timer);
  }, [words]);
  const go = async (one: Question) => {
    setBusy(true);
    await act(one.done, one.act);
    setBusy(false);
    setQuestion(undefined);
  };
  return (
    <>
      <dialog ref={dialog} aria-labelledby="question" onClose={closed}>
        {question && (
          <form
            method="dialog"
            onSubmit={(event) => {
              event.preventDefault();
              void go(question);
            }}
          >
            <h2 id="question">{question.title}</h2>
            <div>{question.text}</div>
            <div class="actions">
              <button type="button" onClick={() => setQuestion(undefined)}>
                Leave it
              </button>
              <button type="submit" class={question.harm ? "harm" : "main"} disabled={busy}>
                {question.verb}
              </button>
            </div>
          </form>
        )}
      </dialog>
      <div class="words" role="status" aria-live="polite">
        {words && <p class={words.bad ? "bad" : "good"}>{words.text}</p>}
      </div>
    </>
  );
}
