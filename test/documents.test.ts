import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";

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

function text(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
}
