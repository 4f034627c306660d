const INTERRUPTIONS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs it with a signal for the first interruption; a second one ends the process, with all that still runs in it. */
export async function onInterruption<Result>(run: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort();
  };
  for (const signal of INTERRUPTIONS) process.on(signal, interrupt);
  try {
    return await run(controller.signal);
  } finally {
    for (const signal of INTERRUPTIONS) process.off(signal, interrupt);
  }
}
