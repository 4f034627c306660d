const INTERRUPTIONS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** What comes so soon after the first is the same interruption: timeout(1) sends it twice, and npm passes on what a terminal sends too. */
const SAME_MS = 500;

/** Runs it with a signal for the first interruption; a second one ends the process, with all that still runs in it. */
export async function onInterruption<Result>(run: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const interrupt = (): void => {
    firstAt ??= performance.now();
    if (performance.now() - firstAt > SAME_MS) process.exit(1);
    controller.abort();
  };
  for (const signal of INTERRUPTIONS) process.on(signal, interrupt);
  try {
    return await run(controller.signal);
  } finally {
    for (const signal of INTERRUPTIONS) process.off(signal, interrupt);
  }
}
