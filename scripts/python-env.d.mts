/** Types of python-env.mjs, for the tests that import it. */
export type PythonFound =
  /** Path of an interpreter that has the packages. */
  { readonly python: string } | { readonly unavailable: string };

/** Takes up to some minutes the first time; never throws. */
export function pythonWith(options?: {
  readonly env?: NodeJS.ProcessEnv;
  /** From the package root. Default: test/python/requirements.txt. */
  readonly requirements?: string;
  /** Default: true. Otherwise only what is there already. */
  readonly install?: boolean;
}): Promise<PythonFound>;
