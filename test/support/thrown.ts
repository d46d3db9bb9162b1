// What a function throws, for tests that look at the error.

/** The error that `act` throws; throws one itself when it throws none. */
export function thrown(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not throw.");
}
