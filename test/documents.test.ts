import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FAULT_KINDS } from "../src/block/fault.ts";
import { DEFAULT_POLICY } from "../src/supervisor/policy.ts";

const MAX_SMALLEST_DRIVER_LINES = 15;

for (const page of ["README.md", "docs/drivers.md"]) {
  test(`the smallest driver in ${page} is examples/tiny.ts, whole`, () => {
    const example = text("examples/tiny.ts");
    assert.ok(text(page).includes(`\`\`\`ts\n${example}\`\`\`\n`));
    assert.ok(example.trimEnd().split("\n").length <= MAX_SMALLEST_DRIVER_LINES);
  });
}

test("every dependency is in docs/dependencies.md, and nothing else", () => {
  const { dependencies, devDependencies } = JSON.parse(text("package.json")) as Record<string, object>;
  const named = [...text("docs/dependencies.md").matchAll(/^\| (\S+) \| .* \| .* \| .* \|$/gm)].map((row) => row[1]);
  const wanted = Object.keys({ ...dependencies, ...devDependencies });
  assert.deepEqual(named.filter((name) => name !== "package" && name !== "---").sort(), wanted.sort());
});

test("docs/faults.md has a row for each fault, and each policy with its default", () => {
  const page = text("docs/faults.md");
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  for (const kind of FAULT_KINDS) {
    assert(
      rows.some((row) => row.split("|")[1]?.includes(`\`${kind}\``)),
      `there is no row for ${kind}`,
    );
  }
  for (const [name, value] of Object.entries(DEFAULT_POLICY)) {
    const figure = typeof value === "number" && value >= 10_000 ? `${value}`.replace(/(\d)(\d{3})$/, "$1 $2") : value;
    assert(page.includes(`| \`${name}\` | ${figure} |`), `${name} is not there, or not ${figure}`);
  }
});

function text(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
}
