import { strict as assert } from "node:assert";
import { readdirSync } from "node:fs";
import type { Scene } from "./scene.ts";

export const FAILED = 1;
export const BAD_USAGE = 2;
/** More wouldn't start any sooner on a small machine. */
const CASES_AT_ONCE = 3;

/** Arguments of `skink`; `FOLDER` stands for the scene's. */
export interface Case {
  readonly args: readonly string[];
  readonly code: number;
  /** Everything that the one line has to say: the thing, and the mend. */
  readonly says: readonly RegExp[];
}

/** A driver module whose `open` has this body. */
export function module(body: string): string {
  return `export default { open(options, context) { ${body} } };`;
}

/** A line of the log, which is JSON where stderr is no terminal, or a hint in parentheses after the error itself. */
function isAside(line: string): boolean {
  return line.startsWith("{") || /^\(.*\)$/.test(line);
}

/** Runs all cases, and holds of each: its exit code, one line on stderr, nothing on stdout, nothing left behind. */
export async function eachCase(scene: Scene, cases: readonly Case[]): Promise<void> {
  const before = readdirSync(scene.folder);
  const checkOne = async ({ args, code, says }: Case): Promise<void> => {
    const given = args.map((arg) => arg.replace("FOLDER", scene.folder));
    const ended = await scene.skink(...given);
    const what = `skink ${args.join(" ")}: ${ended.stderr}`;
    assert.equal(ended.code, code, what);
    assert.equal(ended.stdout, "", what);
    const lines = ended.stderr.split("\n").filter((line) => line !== "" && !isAside(line));
    assert.equal(lines.length, 1, what);
    for (const expected of says) assert.match(ended.stderr, expected, what);
  };
  for (let at = 0; at < cases.length; at += CASES_AT_ONCE) {
    await Promise.all(cases.slice(at, at + CASES_AT_ONCE).map(checkOne));
    assert.deepEqual(readdirSync(scene.folder), before);
    assert.deepEqual(readdirSync(scene.path("tmp")), []);
  }
}

/** Of configurations; each has to be refused, with its file named as that is: "bad.yaml". */
export interface BadYaml {
  readonly yaml: string;
  readonly says: readonly RegExp[];
}

export function yamlCases(scene: Scene, yamls: readonly BadYaml[]): Case[] {
  return yamls.map(({ yaml, says }, index) => {
    const name = `${index}-bad.yaml`;
    scene.write(name, yaml);
    return { args: ["serve", `FOLDER/${name}`], code: BAD_USAGE, says };
  });
}

/** The source of a driver module that doesn't get as far as serving. */
export interface BadModule {
  readonly source: string;
  readonly says: readonly RegExp[];
}

export function moduleCases(scene: Scene, modules: readonly BadModule[]): Case[] {
  return modules.map(({ source, says }, index) => {
    const name = `module-${index}`;
    scene.write(`${name}.ts`, source);
    return { args: ["serve", `FOLDER/${name}.ts`], code: FAILED, says: [new RegExp(name), ...says] };
  });
}
