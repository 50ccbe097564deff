/** Types of python-env.mjs, for the test that imports it. */
export type PythonFound =
  /** Path of an interpreter that has the packages of test/python/requirements.txt. */
  { readonly python: string } | { readonly unavailable: string };

/** Takes up to some minutes the first time; never throws. */
export function pythonWith(options?: { readonly env?: NodeJS.ProcessEnv }): Promise<PythonFound>;
