import assert from "node:assert/strict";
import { test } from "node:test";
import { htmlReport } from "./html.ts";
import { campaign, trial } from "./testing.ts";

test("a page loads nothing from anywhere, and runs nothing", () => {
  const page = htmlReport(campaign([trial(0), trial(1, { persistence: "persistent" })]));
  assert.doesNotMatch(page, /<script|<link|<img|<iframe|https?:|url\(|@import|\bon\w+=/i);
});

test("campaigns without trials, with one, and with bad ones alone have pages without a hole", () => {
  const bad = [0, 1, 2].map((index) => trial(index, {}, { outcome: "silent", wrong: 1, detections: [] }));
  for (const trials of [[], [trial(0)], bad]) {
    const page = htmlReport(campaign(trials));
    assert.doesNotMatch(page, /NaN|undefined|Infinity/);
    assert.equal(page.match(/<article>/g)?.length ?? 0, trials === bad ? 3 : 0);
    for (const element of ["svg", "table", "div", "article", "tr"]) {
      const open = page.match(new RegExp(`<${element}[ >]`, "g"))?.length;
      assert.equal(page.match(new RegExp(`</${element}>`, "g"))?.length, open, element);
    }
  }
});

test("of a bad trial is told when its fault struck", () => {
  const page = htmlReport(campaign([trial(0, {}, { outcome: "silent", wrong: 1 })]));
  assert.match(page, /<p>the fault struck 35 ms into the load, after 58 requests<\/p>/);
});

test("everything that comes from a spec, a server or a driver is escaped", () => {
  const evil = '<script>alert("1")</script>&\u0007';
  const result = {
    outcome: "silent",
    incident: evil,
    wrong: 1,
    firstWrong: evil,
    errors: 1,
    firstError: evil,
  } as const;
  const code = { tier: "code", kind: evil, file: `file:///${evil}`, line: 1, description: evil } as const;
  const whole = campaign([trial(0, code, { ...result, state: evil })], { spec: evil });
  const page = htmlReport({ ...whole, versions: { [evil]: evil }, startedAt: evil });
  assert.doesNotMatch(page, /<script|"1"/);
  assert.ok(page.includes("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"));
});

test("one bad trial among thousands can be seen in the picture", () => {
  const trials = Array.from({ length: 5000 }, (_, index) => trial(index, {}, index === 7 ? { outcome: "silent" } : {}));
  const widths = [...htmlReport(campaign(trials)).matchAll(/class="o-silent" x="[\d.]+" y="\d+" width="([\d.]+)"/g)];
  assert.ok(widths.length > 0);
  for (const [, width] of widths) assert.ok(Number(width) >= 3, width);
});

test("the parts of a bar fill it, and don't run over", () => {
  const outcomes = ["no effect", "masked", "recovered", "hang", "silent"] as const;
  const trials = Array.from({ length: 999 }, (_, index) => {
    return trial(index, {}, { outcome: outcomes[index < 4 ? index + 1 : 0] as (typeof outcomes)[number] });
  });
  const bars = Map.groupBy(
    htmlReport(campaign(trials)).matchAll(/class="o-[\w-]+" x="([\d.]+)" y="(\d+)" width="([\d.]+)"/g),
    ([, , y]) => y,
  );
  assert.equal(bars.size, 3);
  for (const parts of bars.values()) {
    const ends = parts.map(([, x, , width]) => Number(x) + Number(width));
    assert.ok(Math.abs((ends.at(-1) ?? 0) - 400) < 0.5, `${ends}`);
    for (const [index, [, x]] of parts.entries()) {
      if (index > 0) assert.ok(Math.abs(Number(x) - (ends[index - 1] ?? 0)) < 0.2);
    }
  }
});

test("a time of 0 is drawn, at the least that the scale has", () => {
  const detections = [0, 5].map((detectMs) => ({
    kind: "exit",
    reason: "exit code 1",
    detectMs,
    recoverMs: undefined,
  }));
  const page = htmlReport(campaign([trial(0, {}, { detections })]));
  assert.match(page, /<h3>Detection, from the strike<\/h3>/);
  assert.doesNotMatch(page, /<h3>Recovery, from the detection<\/h3>/);
  assert.doesNotMatch(page, /NaN|Infinity/);
});
