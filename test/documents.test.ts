import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { FAULT_KINDS } from "../src/block/fault.ts";
import type { UpgradeResult } from "../src/front/control-protocol.ts";
import type { StreamedEvent } from "../src/front/events.ts";
import type { DeviceEvent } from "../src/supervisor/event.ts";
import { DEFAULT_POLICY } from "../src/supervisor/policy.ts";

const MAX_SMALLEST_DRIVER_LINES = 15;

/** What each event has beside that which all of them have. */
const EVENT_FIELDS: {
  readonly [Type in StreamedEvent["type"]]: Record<
    Exclude<keyof Extract<DeviceEvent | Missed, { type: Type }>, CommonField>,
    true
  >;
} = {
  live: { recovery: true },
  fault: { fault: true },
  reaped: {},
  restart: { delayMs: true },
  fallback: {},
  "read-only": {},
  held: {},
  failed: {},
  suspects: { count: true },
  convicted: { operation: true, offset: true, length: true, acknowledged: true },
  lie: { offset: true, length: true, cure: true },
  upgrade: {},
  upgraded: {},
  rollback: {},
  stopped: { clean: true },
  missed: { count: true },
};
type Missed = Extract<StreamedEvent, { type: "missed" }>;
type CommonField = "type" | "epoch" | "driver" | "reason";

const UPGRADE_FIELDS: Record<Exclude<keyof UpgradeResult, "outcome">, true> = {
  epoch: true,
  stallMs: true,
  served: true,
  reason: true,
};

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

test("docs/faults.md has each event with its fields, and each outcome of an upgrade", () => {
  const [, section = ""] = text("docs/faults.md").split("\n## Events\n");
  const [events = "", outcomes = ""] = section.split("`skink upgrade --json`");
  const wanted = Object.entries(EVENT_FIELDS).map(([type, fields]) => [type, Object.keys(fields)] as const);
  assert.deepEqual(fieldsOf(events), new Map(wanted));
  const rolledBack = fieldsOf(outcomes).get("rolled back");
  assert.deepEqual(rolledBack, Object.keys(UPGRADE_FIELDS));
});

const PAGES = ["README.md", ...readdirSync(new URL("../docs", import.meta.url)).map((name) => `docs/${name}`)];
for (const page of PAGES.filter((path) => path.endsWith(".md"))) {
  test(`what ${page} links to is there`, () => {
    const links = [...text(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
    for (const link of links.filter((target) => !/^[a-z]+:/i.test(target))) {
      const [path = "", heading] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      assert.ok(existsSync(new URL(`../${target}`, import.meta.url)), `there is no ${target}`);
      if (heading !== undefined) assert.ok(headingsOf(target).includes(heading), `${target} has no ${heading}`);
    }
  });
}

/** The names in the first column of a table, each with those in the second one. */
function fieldsOf(section: string): Map<string, string[]> {
  const names = (cell = ""): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  return new Map(
    rows.flatMap((row) => {
      const [, types, fields] = row.split("|");
      return names(types).map((type) => [type, names(fields)] as const);
    }),
  );
}

/** As links name them. */
function headingsOf(page: string): string[] {
  const headings = [...text(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

function text(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
}
