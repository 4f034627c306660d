import { type ParseArgsConfig, parseArgs } from "node:util";

const EXIT_USAGE = 2;

type Parsed<Config extends ParseArgsConfig> = ReturnType<typeof parseArgs<Config>>;

/**
 * What is asked for, as `read` makes it out of the command line. Ends the process where that is --help, or makes no sense: what
 * `read` throws says why. The first paragraph of `help` says how the program is used.
 */
export function readCommandLine<const Config extends ParseArgsConfig, Options>(
  help: string,
  config: Config,
  read: (parsed: Parsed<Config>) => Options,
): Options {
  try {
    const parsed = parseArgs({ ...config, options: { ...config.options, help: { type: "boolean" } } });
    if ((parsed.values as { help?: boolean }).help !== true) return read(parsed as Parsed<Config>);
  } catch (error) {
    console.error(`${(error as Error).message}\n${help.split("\n\n", 1)[0]}\n(--help shows what there is)`);
    process.exit(EXIT_USAGE);
  }
  console.log(help);
  process.exit(0);
}

/** The value of `--name`. */
export function wholeNumber(name: string, text: string, least = 0): number {
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
  throw new Error(`Cannot use --${name} ${text}: a whole number from ${least} on was wanted`);
}
